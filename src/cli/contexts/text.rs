//! Changes of the text of the file, line by line, so that what people wrote stays as it is. A text
//! that is written in another way than these expect comes out wrong, which the caller notices when
//! it reads the result.

use std::ops::Range;

use super::file::CURRENT;

/// The text with a section at its end.
pub(super) fn added(text: &str, section: &str) -> String {
    let gap = match text {
        "" => "",
        _ if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{text}{gap}{section}")
}

/// The text with a section in place of the one with this name, below the same comments. `None` if
/// it has no such heading.
pub(super) fn replaced(text: &str, name: &str, section: &str) -> Option<String> {
    let lines = lines(text);
    let Range { start, end } = extent(&lines, name)?;
    Some(format!("{}{section}{}", lines[..start].concat(), lines[end..].concat()))
}

/// The text without the section with this name, and without the comment right above it. `None` if
/// it has no such heading.
pub(super) fn removed(text: &str, name: &str) -> Option<String> {
    let lines = lines(text);
    let Range { start, end } = extent(&lines, name)?;
    let above = lines[..start].iter().rev().take_while(|line| line.starts_with('#')).count();
    let blank = lines[end..].iter().take_while(|line| line.trim().is_empty()).count();
    Some([lines[..start - above].concat(), lines[end + blank..].concat()].concat())
}

/// The text with this context as the current one, or with none.
pub(super) fn with_current(text: &str, name: Option<&str>) -> String {
    let lines = lines(text);
    let is_current =
        |line: &&str| line.split_once('=').is_some_and(|(key, _)| key.trim() == CURRENT);
    let at = lines.iter().take_while(|line| !is_heading(line)).position(is_current);
    let line = name.map(|name| format!("{CURRENT} = {}\n", toml::Value::from(name)));
    let line = line.unwrap_or_default();
    match at {
        Some(at) => format!("{}{line}{}", lines[..at].concat(), lines[at + 1..].concat()),
        None if line.is_empty() => text.to_owned(),
        None => format!("{line}\n{text}"),
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn is_heading(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// The lines of a section: from its heading to the comments above the next one.
fn extent(lines: &[&str], name: &str) -> Option<Range<usize>> {
    let is_its = |line: &&str| {
        let read = toml::from_str::<toml::Table>(line);
        is_heading(line) && read.is_ok_and(|heading| heading.contains_key(name))
    };
    let start = lines.iter().position(is_its)?;
    let below = lines[start + 1..].iter().take_while(|line| !is_heading(line));
    // Blank lines and comments at the end belong to what follows.
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let content = below.collect::<Vec<_>>();
    let length = content.iter().rposition(|line| is_content(line)).map_or(0, |last| last + 1);
    Some(start..start + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\n\n# careful\n[prod] # live\nserver = 'unix:/p'\n\n# old\n\n\
        # for tests\n[\"a.b\"]\ndata_dir = 'x'\n";

    #[test]
    fn a_change_leaves_the_lines_of_others_alone() {
        let added = added(TEXT, "[new]\n");
        assert_eq!(added, format!("{TEXT}\n[new]\n"));
        assert_eq!(super::added("a = 1", "[new]\n"), "a = 1\n\n[new]\n");
        assert_eq!(super::added("", "[new]\n"), "[new]\n");
        assert_eq!(
            replaced(TEXT, "prod", "[prod]\n").unwrap(),
            TEXT.replace("[prod] # live\nserver = 'unix:/p'\n", "[prod]\n")
        );
        assert_eq!(
            removed(TEXT, "prod").unwrap(),
            "# mine\n\n# old\n\n# for tests\n[\"a.b\"]\ndata_dir = 'x'\n"
        );
        let first = removed(TEXT, "a.b").unwrap();
        assert_eq!(first, "# mine\n\n# careful\n[prod] # live\nserver = 'unix:/p'\n\n# old\n\n");
        assert_eq!(removed(TEXT, "a"), None);
    }

    #[test]
    fn the_current_context_is_the_first_line_or_the_line_that_it_was() {
        let set = with_current(TEXT, Some("a.b"));
        assert_eq!(set, format!("current = \"a.b\"\n\n{TEXT}"));
        let below = "# mine\ncurrent = 'x' # why\n[x]\n";
        assert_eq!(with_current(below, Some("y")), "# mine\ncurrent = \"y\"\n[x]\n");
        assert_eq!(with_current(below, None), "# mine\n[x]\n");
        assert_eq!(with_current("[x]\ncurrent = 1\n", None), "[x]\ncurrent = 1\n");
    }
}
