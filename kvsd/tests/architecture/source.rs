//! Reads which paths a Rust source names, well enough for sources that compile.

use std::collections::BTreeSet;

/// A path's names, in their order.
pub(crate) type Segments = Vec<String>;

/// Every path of two segments and more, and every path of a `use`, that a source names outside its
/// tests. `self` and `super` are resolved: such a path begins with `crate`.
pub(crate) fn paths_of(module: &[String], source: &str) -> BTreeSet<Segments> {
    let tokens = without_tests(&tokens_of(source));
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut paths = BTreeSet::new();
    let mut inner: Vec<(usize, &str)> = Vec::new();
    let (mut at, mut depth) = (0, 0);
    while at < tokens.len() {
        match token(at) {
            "mod" if token(at + 2) == "{" => inner.push((depth, token(at + 1))),
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inner.retain(|(outside, _)| *outside < depth);
            }
            _ => {}
        }
        let before = if at == 0 { "" } else { token(at - 1) };
        let starts = match token(at) {
            "use" => true,
            "::" => !is_name(before) && before != ">",
            name => is_name(name) && before != "::" && token(at + 1) == "::",
        };
        if !starts {
            at += 1;
            continue;
        }
        let mut found = Vec::new();
        at = follow_path(&tokens, at + usize::from(token(at) == "use"), &[], &mut found);
        let inner = inner.iter().map(|(_, name)| (*name).to_owned());
        let here: Segments = module.iter().cloned().chain(inner).collect();
        paths.extend(found.into_iter().filter_map(|path| resolve(&here, path)));
    }
    paths
}

/// Collects the path at `at`, or all that its braces hold, and answers where it ends.
fn follow_path(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    found: &mut Vec<Segments>,
) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut path = before.to_vec();
    loop {
        match token(at) {
            "::" => at += 1,
            "{" => {
                at += 1;
                while !matches!(token(at), "}" | "") {
                    if token(at) == "," {
                        at += 1;
                        continue;
                    }
                    let next = follow_path(tokens, at, &path, found);
                    at = next.max(at + 1);
                }
                return at + 1;
            }
            name if is_name(name) => {
                path.push(name.to_owned());
                at += 1;
                if token(at) != "::" {
                    break;
                }
            }
            _ => break,
        }
    }
    found.push(path);
    if token(at) == "as" { at + 2 } else { at }
}

fn resolve(here: &[String], mut path: Segments) -> Option<Segments> {
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let mut start = here;
    let mut rest = &path[..];
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "super" => (_, start) = start.split_last()?,
            "self" => {}
            _ => break,
        }
        rest = behind;
    }
    if rest.len() == path.len() {
        return (!path.is_empty()).then_some(path);
    }
    Some([&["crate".to_owned()], start, rest].concat())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Leaves out every item behind a `#[cfg(test)]` or the like.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((token, behind)) = rest.split_first() {
        let end = behind.iter().position(|token| token == "]").unwrap_or(0);
        let attribute = &behind[..end];
        let has = |word: &str| attribute.iter().any(|token| token == word);
        if token == "#" && has("cfg") && has("test") && !has("not") {
            rest = behind_item(&behind[end + 1..]);
        } else {
            kept.push(token.clone());
            rest = behind;
        }
    }
    kept
}

fn behind_item(tokens: &[String]) -> &[String] {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == ";" || token == "}") {
            return &tokens[at + 1..];
        }
    }
    &[]
}

/// Names, `::` and single marks; no comments, strings or characters.
fn tokens_of(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, length) = if rest.starts_with("//") {
            ("", rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            ("", comment(rest))
        } else if let Some(length) = literal(rest) {
            ("", length)
        } else if name > 0 {
            (&rest[..name], name)
        } else if rest.starts_with("::") {
            ("::", 2)
        } else if first.is_whitespace() {
            ("", first.len_utf8())
        } else {
            (&rest[..first.len_utf8()], first.len_utf8())
        };
        if !token.is_empty() {
            tokens.push(token.to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment that `text` begins with; comments nest.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[..at].ends_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

/// The length of the string or character that `text` begins with, or of a lifetime's mark.
fn literal(text: &str) -> Option<usize> {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let body = &text[prefix..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if text[..prefix].ends_with('r') && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body[hashes + 1..].find(&end).map(|at| prefix + hashes + 1 + at + end.len());
        return Some(length.unwrap_or(text.len()));
    }
    if body.starts_with('"') {
        return Some(prefix + quoted(body, '"'));
    }
    if let Some(quote) = body.strip_prefix('\'') {
        let lifetime = is_name(quote) && quote.chars().nth(1) != Some('\'');
        return Some(prefix + if lifetime { 1 } else { quoted(body, '\'') });
    }
    None
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}
