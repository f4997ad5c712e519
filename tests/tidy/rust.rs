//! Rust read as text, as far as the rules need it.

use super::numbered;

/// The text with comments and literals blanked, so that what is left is code, where it was.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let opaque = opaque_length(rest, code.ends_with(is_word));
        if opaque == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (blanked, after) = rest.split_at(opaque);
            code.extend(blanked.chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// The bytes of the comment or literal that the text begins with; 0 if it begins with neither.
fn opaque_length(text: &str, is_within_word: bool) -> usize {
    let until = |end: &str, from: usize| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("*/", 2);
    }
    if text.starts_with('"') {
        let mut escaped = false;
        let close = text.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        return close.map_or(text.len(), |(at, _)| at + 1);
    }
    if text.starts_with("'\\") {
        return until("'", 3);
    }
    if let Some(literal) = text.strip_prefix('\'') {
        // A lifetime has no second quote.
        let length = literal.chars().next().map_or(0, char::len_utf8);
        return if literal[length..].starts_with('\'') { length + 2 } else { 0 };
    }
    let raw = ["r", "br", "cr"].into_iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(raw) = raw.filter(|_| !is_within_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = text.len() - raw.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), open);
        }
    }
    0
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without the items under `#[cfg(test)]`: tests may reach across layers.
pub(crate) fn without_test_modules(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        let mut depth = 0_usize;
        let end = item.char_indices().find(|(_, c)| {
            depth = if *c == '{' { depth + 1 } else { depth - usize::from(*c == '}') };
            depth == 0 && matches!(c, '}' | ';')
        });
        let (item, after) = item.split_at(end.map_or(item.len(), |(at, _)| at + 1));
        kept += before;
        kept.extend(item.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    kept + rest
}

/// Words, `::`, and every other character by itself, each with its line.
pub(crate) fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, mut rest) in numbered(code) {
        while let Some(first) = rest.chars().next() {
            let length = match rest.find(|c| !is_word(c)).unwrap_or(rest.len()) {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            let (token, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push((line, token));
            }
            rest = after;
        }
    }
    tokens
}

/// Every path, those of a `use` written out, with its line.
pub(crate) fn paths(code: &str) -> Vec<(usize, Vec<&str>)> {
    let tokens = tokens(code);
    let token_at = |index: usize| tokens.get(index).map_or("", |(_, token)| *token);
    let mut found = Vec::new();
    let mut path = Vec::new();
    let mut prefixes: Vec<Vec<&str>> = Vec::new();
    let mut in_use = false;
    for (index, &(line, token)) in tokens.iter().enumerate() {
        let is_name = token.starts_with(is_word);
        if in_use {
            match token {
                "{" => prefixes.push(path.clone()),
                "," | "}" | ";" => {
                    found.push((line, path));
                    path = prefixes.last().cloned().unwrap_or_default();
                }
                _ if is_name => path.push(token),
                _ => {}
            }
            if token == "}" {
                prefixes.pop();
            }
            in_use = token != ";";
        } else if token == "use" && token_at(index + 1) != "<" {
            in_use = true;
            path = Vec::new();
        } else if is_name {
            if index == 0 || token_at(index - 1) != "::" {
                path = Vec::new();
            }
            path.push(token);
            if token_at(index + 1) != "::" && path.len() > 1 {
                found.push((line, path.clone()));
            }
        }
    }
    found.retain(|(_, path)| !path.is_empty());
    found
}

/// The module of the crate that a path leads into, if it leads out of its own.
pub(crate) fn imported_module<'a>(path: &[&'a str], from: &[&str]) -> Option<&'a str> {
    let supers = path.iter().take_while(|name| **name == "super").count();
    match path[0] {
        "crate" => path.get(1).copied(),
        "super" if supers == from.len() => path.get(supers).copied(),
        _ => None,
    }
}

/// Every function with a body: its first line, and how many lines it has.
pub(crate) fn functions(code: &str) -> Vec<(usize, usize)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (index, &(line, token)) in tokens.iter().enumerate() {
        // `fn(` is a type.
        if token != "fn" || tokens.get(index + 1).is_none_or(|(_, name)| *name == "(") {
            continue;
        }
        let mut depth = 0;
        for &(end, token) in &tokens[index..] {
            match token {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token, "}" | ";") {
                found.push((line, end - line + 1));
                break;
            }
        }
    }
    found
}
