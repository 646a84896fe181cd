//! `key = ".."`: text with fields in braces. Next file to read: `ttl.rs`.

use syn::{LitStr, Member, Type};

use crate::ast::{Container, Data, Form};
use crate::attr::Errors;
use crate::tokens;

/// A template whose fields are all there: `parts` with the text before each, and the text after the
/// last.
pub(super) struct Template<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) tail: String,
}

pub(super) struct Part<'a> {
    /// The text before it.
    pub(super) literal: String,
    pub(super) member: Member,
    pub(super) ty: &'a Type,
}

/// A field that a template may name.
struct Candidate<'a> {
    name: String,
    member: Member,
    ty: &'a Type,
    form: Form,
}

impl<'a> Template<'a> {
    /// Reads a template and finds its fields; errors for all that does not fit.
    pub(super) fn judge(
        text: &LitStr,
        container: &'a Container<'_>,
        errors: &mut Errors,
    ) -> Option<Self> {
        let mut problems = Vec::new();
        let template = Self::find(&text.value(), container, &mut problems);
        let is_sound = problems.is_empty();
        for problem in problems {
            errors.push(syn::Error::new(text.span(), problem));
        }
        template.filter(|_| is_sound)
    }

    fn find(text: &str, container: &'a Container<'_>, problems: &mut Vec<String>) -> Option<Self> {
        let Some(candidates) = candidates(container) else {
            problems.push(
                "a template cannot name the fields of an enum, which differ from variant to \
                 variant: implement `kvsd::Keyed` by hand"
                    .to_owned(),
            );
            return None;
        };
        let (pieces, tail) = split(text).map_err(|problem| problems.push(problem)).ok()?;
        let literal_bytes = pieces.iter().map(|(literal, _)| literal.len()).sum::<usize>();
        if literal_bytes + tail.len() > MAX_KEY_BYTES {
            problems.push(format!(
                "a key has at most {MAX_KEY_BYTES} bytes, and the text of this template alone has \
                 {}",
                literal_bytes + tail.len()
            ));
        }
        if text.is_empty() {
            problems.push("the key template is empty: write one such as `user/{id}`".to_owned());
        } else if pieces.is_empty() {
            problems.push(
                "the key template names no field, so all records would have one key: name one in \
                 braces, such as `user/{id}`"
                    .to_owned(),
            );
        }
        let ident = tokens::plain(&container.input.ident);
        let (mut parts, mut seen) = (Vec::new(), Vec::new());
        for (literal, name) in pieces {
            let Some(found) = candidates.iter().find(|candidate| candidate.name == name) else {
                problems.push(unknown(&ident, &name, &candidates));
                continue;
            };
            if found.form == Form::Skipped {
                problems.push(format!(
                    "`{name}` is not stored, since serde skips it: what is read back would have \
                     another key"
                ));
            }
            if seen.contains(&name) {
                problems.push(format!("`{name}` stands in the key template twice"));
            }
            seen.push(name);
            parts.push(Part { literal, member: found.member.clone(), ty: found.ty });
        }
        Some(Self { parts, tail })
    }
}

/// The fields of a struct; `None` for what is none.
fn candidates<'a>(container: &'a Container<'_>) -> Option<Vec<Candidate<'a>>> {
    let (syn::Data::Struct(data), Data::Struct(shape)) = (&container.input.data, &container.data)
    else {
        return None;
    };
    let found = data.fields.members().zip(&shape.fields).map(|(member, field)| {
        let name = match &member {
            Member::Named(ident) => tokens::plain(ident),
            Member::Unnamed(index) => index.index.to_string(),
        };
        Candidate { name, member, ty: field.ty, form: field.form }
    });
    Some(found.collect())
}

fn unknown(ident: &str, name: &str, candidates: &[Candidate<'_>]) -> String {
    if name.is_empty() {
        return "a `{}` in the key template names no field".to_owned();
    }
    let known = candidates.iter().map(|candidate| format!("`{}`", candidate.name));
    let known = known.collect::<Vec<_>>().join(", ");
    let advice = match known.as_str() {
        "" => "it has none".to_owned(),
        known => format!("there are {known}"),
    };
    format!("`{ident}` has no field `{name}`: {advice}")
}

/// The names in braces, each with the text before it, and the text after the last.
fn split(text: &str) -> Result<(Vec<(String, String)>, String), String> {
    let (mut pieces, mut literal) = (Vec::new(), String::new());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from_brace) = rest.split_at(at);
        literal.push_str(before);
        let (brace, after) = from_brace.split_at(1);
        if let Some(after_both) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after_both;
            continue;
        }
        if brace == "}" {
            return Err("a `}` closes nothing in the key template: write `}}` for a brace in the \
                        key"
            .to_owned());
        }
        let end = after.find(['{', '}']).filter(|end| after[*end..].starts_with('}'));
        let Some(end) = end else {
            return Err("a `{` is not closed in the key template: write `{{` for a brace in the \
                        key"
            .to_owned());
        };
        pieces.push((std::mem::take(&mut literal), after[..end].to_owned()));
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    Ok((pieces, literal))
}

/// As `kvsd::types::MAX_KEY_BYTES`.
const MAX_KEY_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_long_as_a_server_takes_it() {
        assert_eq!(MAX_KEY_BYTES, kvsd::types::MAX_KEY_BYTES);
    }

    /// The names in braces with the text around them, as one text with bars between.
    fn shown(text: &str) -> Option<String> {
        let (pieces, tail) = split(text).ok()?;
        let pieces = pieces.iter().map(|(literal, name)| format!("{literal}|{name}|"));
        Some(pieces.collect::<String>() + &tail)
    }

    #[test]
    fn a_template_is_text_with_names_in_braces() {
        for (text, expected) in [
            ("", ""),
            ("user", "user"),
            ("{id}", "|id|"),
            ("user/{id}", "user/|id|"),
            ("{a}{b}", "|a||b|"),
            ("a/{0}/b/{1}/c", "a/|0|/b/|1|/c"),
            ("{{{id}}}", "{|id|}"),
            ("{{id}}", "{id}"),
            ("}}{{", "}{"),
            ("{}", "||"),
            ("{ id }", "| id |"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_brace_alone_is_refused() {
        for text in ["{", "}", "{id", "id}", "{a{b}", "{a{{b}", "{id}}", "{{id}", "{a}}b{c}"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
