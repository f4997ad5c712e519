//! The examples of `docs/clients.md`, which are the programs that `./test --clients` runs.

/// A code block and the file that it must show.
pub(super) struct Example<'a> {
    /// Line of the marker above it.
    pub(super) line: usize,
    pub(super) file: &'a str,
    pub(super) code: String,
}

/// The blocks below lines such as `<!-- tests/clients/curl/token.sh -->`.
pub(super) fn examples(document: &str) -> Vec<Example<'_>> {
    let mut lines = document.lines().enumerate();
    let mut examples = Vec::new();
    while let Some((number, line)) = lines.next() {
        let Some(file) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let fence = lines.by_ref().map(|(_, line)| line).find(|line| line.starts_with("```"));
        assert!(fence.is_some(), "line {number}: no code below {file}");
        let code = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let code = lines_of(code);
        examples.push(Example { line: number + 1, file, code });
    }
    examples
}

/// What of a file is shown: the lines between those with `[docs` and `docs]`, without their common
/// indentation, or all of it.
pub(super) fn shown(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let at = |mark| lines.iter().position(|line| line.contains(mark));
    let (Some(first), Some(last)) = (at("[docs"), at("docs]")) else { return text.to_owned() };
    let part = &lines[first + 1..last];
    let indentation = |line: &&str| line.len() - line.trim_start().len();
    let common = part.iter().filter(|line| !line.is_empty()).map(indentation).min().unwrap_or(0);
    lines_of(part.iter().map(|line| line.get(common..).unwrap_or_default()))
}

fn lines_of<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.fold(String::new(), |text, line| text + line + "\n")
}
