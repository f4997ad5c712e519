//! `docs/rules.md` and the tests that name its numbers.

use std::{collections::BTreeSet, ops::RangeInclusive};

/// The numbers in the first column of the tables of a document.
pub(crate) fn listed(document: &str) -> BTreeSet<u32> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    rows.flat_map(|(cell, _)| numbers(cell)).collect()
}

/// The numbers that a comment or a message begins with: `/// 2, 61–63`, `"42: two methods"`.
pub(crate) fn named(source: &str) -> BTreeSet<u32> {
    let starts = source.lines().flat_map(|line| {
        let comment = line.trim_start().trim_start_matches('/').strip_prefix(' ');
        let messages = line.split('"').skip(1).step_by(2).filter(|text| text.contains(": "));
        comment.into_iter().chain(messages)
    });
    starts
        .map(|text| text.split_once(':').map_or(text, |(start, _)| start))
        .flat_map(numbers)
        .collect()
}

/// `2, 61–63`; none if there is something else.
fn numbers(text: &str) -> Vec<u32> {
    let spans = text.split(", ").map(span).collect::<Option<Vec<_>>>();
    spans.unwrap_or_default().into_iter().flatten().collect()
}

fn span(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('–').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}
