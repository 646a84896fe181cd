//! What a positional codec would corrupt: each entry of `#[serde(..)]` has its verdict here.
//!
//! A positional codec writes values one after the other, without names and kinds. A serde attribute
//! that relies on those, or by which writing and reading differ, makes a value read as another one
//! without any error. Only what is known to be harmless is accepted; so an attribute that serde
//! gets one day is refused until somebody has looked at it. Next file to read: `expand.rs`.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Ident, Type};

use crate::ast::{Container, Data, Field};
use crate::attr::{self, Codec, Errors, Serde};
use crate::tokens;

/// Whether a positional codec can hold a type, as far as the type's own text tells.
pub(crate) enum Positional {
    Fits,
    /// Only in a type with `codec = "json"`.
    Refused,
}

/// Judges a type. With a positional codec every refusal is an error on its token.
pub(crate) fn positional(container: &Container<'_>, errors: &mut Errors) -> Positional {
    let mut refusals = Vec::new();
    judge_all(&container.serde, on_container, &mut refusals);
    for field in container.fields() {
        judge_all(&field.serde, on_field, &mut refusals);
    }
    for field in container.laid_out_fields() {
        if is_recursive(container, field) {
            refusals.push(Refusal {
                what: format!("the recursive type `{}`", container.input.ident),
                why: "stored bytes would decide how deep reading goes, up to overflowing the stack",
                advice: "store it",
                span: field.ty.span(),
            });
        }
    }
    if let Data::Enum(variants) = &container.data {
        for variant in variants {
            judge_all(&variant.serde, on_variant, &mut refusals);
        }
    }
    if refusals.is_empty() {
        return Positional::Fits;
    }
    let codec = container.kvsd.codec;
    if codec.is_positional() {
        for refusal in refusals {
            errors.push(refusal.into_error(codec));
        }
    }
    Positional::Refused
}

/// Whether a field mentions the type that it is a field of.
pub(crate) fn is_recursive(container: &Container<'_>, field: &Field<'_>) -> bool {
    let own = [container.input.ident.clone(), Ident::new("Self", field.ty.span())];
    mentions(field.ty, &own)
}

/// Whether one of the names stands in a type, alone or as the start of a path.
pub(crate) fn mentions(ty: &Type, names: &[Ident]) -> bool {
    let mut search = Search { names, found: false };
    search.visit_type(ty);
    search.found
}

struct Search<'n> {
    names: &'n [Ident],
    found: bool,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        // It stores nothing of what it names.
        if path.segments.last().is_some_and(|last| last.ident == "PhantomData") {
            return;
        }
        if path.leading_colon.is_none() {
            let mut segments = path.segments.iter().skip_while(|first| first.ident == "self");
            let first = segments.next();
            self.found |= first.is_some_and(|first| self.names.contains(&first.ident));
        }
        visit::visit_path(self, path);
    }
}

struct Refusal {
    what: String,
    why: &'static str,
    advice: &'static str,
    span: proc_macro2::Span,
}

impl Refusal {
    fn into_error(self, codec: Codec) -> syn::Error {
        let Self { what, why, advice, span } = self;
        let text = format!(
            "{what} cannot be stored with {}: {why}; {advice} with `#[kvsd(codec = \"json\")]`",
            codec.name(),
        );
        syn::Error::new(span, text)
    }
}

enum Verdict {
    Accepted,
    Refused(&'static str),
}

fn judge_all(entries: &[Serde], judge: fn(&str, &[Serde]) -> Verdict, refusals: &mut Vec<Refusal>) {
    for entry in entries {
        let name = tokens::canonical(entry.path());
        if let Verdict::Refused(why) = judge(&name, entries) {
            let what = format!("`#[serde({name})]`");
            let advice = "remove it or store the type";
            refusals.push(Refusal { what, why, advice, span: entry.path().span() });
        }
    }
}

fn on_container(name: &str, entries: &[Serde]) -> Verdict {
    match name {
        "rename"
        | "rename_all"
        | "rename_all_fields"
        | "deny_unknown_fields"
        | "default"
        | "transparent"
        | "bound"
        | "crate"
        | "expecting" => Verdict::Accepted,
        "untagged" => Verdict::Refused("nothing in the bytes tells which variant they are"),
        "tag" | "content" => Verdict::Refused("it is found by its name, and the bytes have none"),
        "remote" => Verdict::Refused("it makes another type serializable, not this one"),
        "field_identifier" | "variant_identifier" => {
            Verdict::Refused("it is read from a name, and the bytes have none")
        }
        "from" | "try_from" => same_type(entries, name, "into"),
        "into" if attr::has(entries, "from") => same_type(entries, "from", name),
        "into" => same_type(entries, "try_from", name),
        _ => unknown(),
    }
}

fn on_field(name: &str, entries: &[Serde]) -> Verdict {
    match name {
        "skip" | "with" | "rename" | "alias" | "default" | "borrow" | "bound" => Verdict::Accepted,
        "flatten" => Verdict::Refused("its fields are found by name, and the bytes have none"),
        "skip_serializing_if" => {
            Verdict::Refused("a field that is left out shifts all that follow it")
        }
        "skip_serializing" => both(entries, "skip_deserializing"),
        "skip_deserializing" => both(entries, "skip_serializing"),
        "serialize_with" => both(entries, "deserialize_with"),
        "deserialize_with" => both(entries, "serialize_with"),
        "getter" => {
            Verdict::Refused("it belongs to `remote`, which makes another type serializable")
        }
        _ => unknown(),
    }
}

fn on_variant(name: &str, entries: &[Serde]) -> Verdict {
    match name {
        "rename" | "rename_all" | "alias" | "skip_serializing" | "other" | "with" | "bound"
        | "borrow" => Verdict::Accepted,
        "untagged" => Verdict::Refused("nothing in the bytes tells that they are this variant"),
        "skip" | "skip_deserializing" => Verdict::Refused(
            "it shifts the numbers of the variants after it, so another one is read",
        ),
        "serialize_with" => both(entries, "deserialize_with"),
        "deserialize_with" => both(entries, "serialize_with"),
        _ => unknown(),
    }
}

/// Accepted only with its other half.
fn both(entries: &[Serde], other: &str) -> Verdict {
    if attr::has(entries, other) {
        return Verdict::Accepted;
    }
    Verdict::Refused("writing and reading would differ, unless its other half stands there too")
}

/// Accepted only if reading and writing go through one type.
fn same_type(entries: &[Serde], read: &str, written: &str) -> Verdict {
    let of = |name| {
        let text = attr::find(entries, name)?.text()?;
        text.parse::<Type>().ok().map(|ty| tokens::canonical(&ty))
    };
    match (of(read), of(written)) {
        (Some(read), Some(written)) if read == written => Verdict::Accepted,
        _ => Verdict::Refused("reading and writing must go through the same type"),
    }
}

fn unknown() -> Verdict {
    Verdict::Refused("this version of kvsd does not know whether the bytes would read back")
}
