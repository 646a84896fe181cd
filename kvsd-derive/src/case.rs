//! serde's `rename_all`, because a fingerprint holds the names that are written.
//!
//! Next file to read: `check.rs`.

/// What a name is the name of; fields are written `like_this`, variants `LikeThis`.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    Field,
    Variant,
}

/// The name after `rename_all = rule`. An unknown rule changes nothing: serde refuses it.
pub(crate) fn rename(name: &str, rule: &str, named: Named) -> String {
    let words = words(name, named);
    let lower = || words.iter().map(|word| word.to_ascii_lowercase());
    let upper = || words.iter().map(|word| word.to_ascii_uppercase());
    match (rule, named) {
        ("lowercase", Named::Variant) => name.to_ascii_lowercase(),
        ("UPPERCASE", _) => name.to_ascii_uppercase(),
        ("PascalCase", Named::Field) => words.iter().map(|word| capital(word)).collect(),
        ("camelCase", _) => {
            let pascal: String = words.iter().map(|word| capital(word)).collect();
            small(&pascal)
        }
        ("snake_case", Named::Variant) => lower().collect::<Vec<_>>().join("_"),
        ("SCREAMING_SNAKE_CASE", _) => upper().collect::<Vec<_>>().join("_"),
        ("kebab-case", _) => lower().collect::<Vec<_>>().join("-"),
        ("SCREAMING-KEBAB-CASE", _) => upper().collect::<Vec<_>>().join("-"),
        _ => name.to_owned(),
    }
}

/// A field's words are divided by underscores, a variant's begin with capitals.
fn words(name: &str, named: Named) -> Vec<&str> {
    match named {
        Named::Field => name.split('_').collect(),
        Named::Variant => {
            let starts = name.char_indices().filter(|(at, c)| *at > 0 && c.is_uppercase());
            let ends = starts.clone().map(|(at, _)| at).chain([name.len()]);
            std::iter::once(0)
                .chain(starts.map(|(at, _)| at))
                .zip(ends)
                .map(|(start, end)| &name[start..end])
                .collect()
        }
    }
}

fn capital(word: &str) -> String {
    first(word, |c| c.to_ascii_uppercase())
}

fn small(word: &str) -> String {
    first(word, |c| c.to_ascii_lowercase())
}

fn first(word: &str, change: impl Fn(char) -> char) -> String {
    let mut chars = word.chars();
    chars.next().map(change).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_serde_writes() {
        let rules = [
            ("lowercase", "last_name", "veryred"),
            ("UPPERCASE", "LAST_NAME", "VERYRED"),
            ("PascalCase", "LastName", "VeryRed"),
            ("camelCase", "lastName", "veryRed"),
            ("snake_case", "last_name", "very_red"),
            ("SCREAMING_SNAKE_CASE", "LAST_NAME", "VERY_RED"),
            ("kebab-case", "last-name", "very-red"),
            ("SCREAMING-KEBAB-CASE", "LAST-NAME", "VERY-RED"),
        ];
        for (rule, field, variant) in rules {
            assert_eq!(rename("last_name", rule, Named::Field), field, "{rule}");
            assert_eq!(rename("VeryRed", rule, Named::Variant), variant, "{rule}");
        }
        assert_eq!(rename("A", "snake_case", Named::Variant), "a");
    }
}
