//! `table`, `key` and `ttl` of a type's `#[kvsd(..)]`: what they say of its records' keys, and the
//! implementation of `Keyed`.
//!
//! How a part is written stands in `kvsd::key`, not here. Reading order: `template`, `ttl`,
//! `implement`.

mod implement;
mod template;
mod ttl;

use syn::{LitStr, Meta};

use crate::ast::Container;
use crate::attr::{self, Errors};
use crate::expand::Derive;

pub(crate) use implement::implement;
use template::Template;

/// The attributes that this module reads.
pub(crate) const NAMES: [&str; 3] = ["table", "key", "ttl"];

/// What stands in the attributes.
#[derive(Default)]
pub(crate) struct KeyAttrs {
    table: Option<LitStr>,
    template: Option<LitStr>,
    ttl: Option<LitStr>,
}

/// What is written of them, once all of it was judged sound.
pub(crate) struct Keyed<'a> {
    table: Option<String>,
    template: Template<'a>,
    ttl_millis: Option<u64>,
}

impl KeyAttrs {
    /// Takes its own out of all entries of a type.
    pub(crate) fn read(metas: &[Meta], errors: &mut Errors) -> Self {
        let given = |name: &str| metas.iter().find(|meta| meta.path().is_ident(name));
        let mut text = |name| match attr::read_text(given(name)?) {
            Ok(text) => Some(text),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let read = Self { table: text("table"), template: text("key"), ttl: text("ttl") };
        if given("key").is_none() {
            for (name, text) in [("table", &read.table), ("ttl", &read.ttl)] {
                let Some(text) = text else { continue };
                let message = format!(
                    "`{name}` says nothing without `key`: only records that know their keys have \
                     a {name}; add `key = \"..\"`, or take it out"
                );
                errors.push(syn::Error::new(text.span(), message));
            }
        }
        read
    }
}

impl<'a> Keyed<'a> {
    /// Judges what was read; `None` for a type without a key, and after errors.
    pub(crate) fn judge(
        container: &'a Container<'_>,
        derive: Derive,
        errors: &mut Errors,
    ) -> Option<Self> {
        let KeyAttrs { table, template, ttl } = &container.kvsd.key;
        if let (Derive::Layout, Some(template)) = (derive, template) {
            let message = "only a value of its own has a key: `key` goes with \
                           `#[derive(kvsd::Value)]`";
            errors.push(syn::Error::new(template.span(), message));
            return None;
        }
        let judged = table.as_ref().map(check_table).transpose();
        let table = judged.unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        let judged = ttl.as_ref().map(ttl::parse_millis).transpose();
        let ttl_millis = judged.unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        let template = Template::judge(template.as_ref()?, container, errors)?;
        Some(Self { table, template, ttl_millis })
    }
}

/// The same rule as `kvsd::TableName`.
fn check_table(name: &LitStr) -> syn::Result<String> {
    let text = name.value();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let problem = match text.len() {
        0 => "it is empty".to_owned(),
        bytes if bytes > MAX_TABLE_NAME_BYTES => format!("it has {bytes} bytes"),
        _ if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            "it starts with something else".to_owned()
        }
        _ if !text.chars().all(fits) => "it has other characters".to_owned(),
        _ => return Ok(text),
    };
    let message = format!(
        "a table's name is 1 to {MAX_TABLE_NAME_BYTES} bytes of ASCII letters, digits, `_`, `-` \
         and `.`, and starts with a letter or a digit: {problem}"
    );
    Err(syn::Error::new(name.span(), message))
}

/// As `kvsd::types::MAX_TABLE_NAME_BYTES`.
const MAX_TABLE_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    #[test]
    fn a_tables_name_is_as_long_as_a_server_takes_it() {
        assert_eq!(super::MAX_TABLE_NAME_BYTES, kvsd::types::MAX_TABLE_NAME_BYTES);
    }
}
