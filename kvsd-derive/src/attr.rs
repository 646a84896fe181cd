//! The attributes: `#[kvsd(..)]`, which is ours, and `#[serde(..)]`, which we only read.
//!
//! It tells what is written and refuses what no `#[kvsd(..)]` knows; whether serde's may stay is
//! decided in `check.rs`. Next file to read: `evolve.rs`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Expr, ExprLit, ExprPath, Lit, LitStr, Meta, Path, Token};

use crate::evolve::{self, Entry, Evolution};
use crate::key::{self, KeyAttrs};
use crate::tokens;

/// Collects errors, so that all of them are shown at once, each on its token.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Which codec a type is written with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Bincode,
    Postcard,
    Json,
}

impl Codec {
    /// Whether its bytes mean something by their place alone.
    pub(crate) fn is_positional(self) -> bool {
        match self {
            Self::Bincode | Self::Postcard => true,
            Self::Json => false,
        }
    }

    /// The name in `#[kvsd(codec = ..)]`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bincode => "bincode",
            Self::Postcard => "postcard",
            Self::Json => "json",
        }
    }
}

/// A type's `#[kvsd(..)]`.
pub(crate) struct KvsdContainer {
    pub(crate) codec: Codec,
    pub(crate) name: String,
    pub(crate) krate: Path,
    pub(crate) key: KeyAttrs,
    pub(crate) evolution: Evolution,
}

impl KvsdContainer {
    pub(crate) fn read(input: &DeriveInput, errors: &mut Errors) -> Self {
        let mut known = vec!["codec", "name", "crate"];
        known.extend(key::NAMES);
        known.extend(evolve::NAMES);
        let metas = kvsd_metas(&input.attrs, &known, "a type", errors);
        let mut codec = Codec::Bincode;
        let mut name = LitStr::new(&tokens::plain(&input.ident), input.ident.span());
        let mut krate = syn::parse_quote!(::kvsd);
        let key = KeyAttrs::read(&metas, errors);
        let of_keys = |meta: &&Meta| key::NAMES.iter().any(|name| meta.path().is_ident(name));
        let mut evolution = Evolution::new();
        for meta in metas.iter().filter(|meta| !of_keys(meta)) {
            let read = match tokens::canonical(meta.path()).as_str() {
                "codec" => read_codec(meta).map(|read| codec = read),
                "name" => read_text(meta).map(|read| name = read),
                "crate" => read_path(meta).map(|read| krate = read),
                other => evolution.read(other, meta),
            };
            read.unwrap_or_else(|error| errors.push(error));
        }
        check_name(&name).unwrap_or_else(|error| errors.push(error));
        evolution.check(&input.generics, errors);
        Self { codec, name: name.value(), krate, key, evolution }
    }
}

/// Whether a field is `#[kvsd(opaque)]`.
pub(crate) fn is_opaque(attrs: &[Attribute], errors: &mut Errors) -> bool {
    let metas = kvsd_metas(attrs, &["opaque"], "a field", errors);
    for meta in &metas {
        if let Err(error) = meta.require_path_only() {
            errors.push(error);
        }
    }
    !metas.is_empty()
}

/// A variant has no `#[kvsd(..)]`.
pub(crate) fn refuse_on_variant(attrs: &[Attribute], errors: &mut Errors) {
    kvsd_metas(attrs, &[], "a variant", errors);
}

/// The functions that stand in a serde type's place.
pub(crate) const CUSTOM: [&str; 3] = ["with", "serialize_with", "deserialize_with"];

/// One entry of a `#[serde(..)]`.
pub(crate) struct Serde(Meta);

impl Serde {
    pub(crate) fn read(attrs: &[Attribute], errors: &mut Errors) -> Vec<Self> {
        metas(attrs, "serde", errors, Meta::parse).into_iter().map(Self).collect()
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.0.path().is_ident(name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The text after the equals sign.
    pub(crate) fn text(&self) -> Option<LitStr> {
        read_text(&self.0).ok()
    }

    /// The text that holds for writing: of `rename = ".."` or `rename(serialize = "..")`.
    pub(crate) fn text_for_writing(&self) -> Option<String> {
        let Meta::List(list) = &self.0 else {
            return self.text().map(|text| text.value());
        };
        let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
        let written = parts.iter().find(|part| part.path().is_ident("serialize"))?;
        read_text(written).ok().map(|text| text.value())
    }
}

/// The entry with this name.
pub(crate) fn find<'a>(entries: &'a [Serde], name: &str) -> Option<&'a Serde> {
    entries.iter().find(|entry| entry.is(name))
}

/// Whether there is an entry with this name.
pub(crate) fn has(entries: &[Serde], name: &str) -> bool {
    find(entries, name).is_some()
}

/// Whether functions of the user's own read and write what the entries are attached to.
pub(crate) fn is_custom(entries: &[Serde]) -> bool {
    CUSTOM.iter().any(|name| has(entries, name))
}

fn metas(
    attrs: &[Attribute],
    of: &str,
    errors: &mut Errors,
    entry: fn(ParseStream<'_>) -> syn::Result<Meta>,
) -> Vec<Meta> {
    let entries =
        |input: ParseStream<'_>| Punctuated::<_, Token![,]>::parse_terminated_with(input, entry);
    let mut found = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident(of)) {
        match attr.parse_args_with(entries) {
            Ok(list) => found.extend(list),
            Err(error) => errors.push(error),
        }
    }
    found
}

/// The entries of `#[kvsd(..)]` that are known and stand there once; errors for all others.
fn kvsd_metas(attrs: &[Attribute], known: &[&str], of: &str, errors: &mut Errors) -> Vec<Meta> {
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    let entry = |input: ParseStream<'_>| input.parse().map(|Entry(meta)| meta);
    for meta in metas(attrs, "kvsd", errors, entry) {
        let name = tokens::canonical(meta.path());
        if !known.contains(&name.as_str()) {
            let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>();
            let advice = match list.as_slice() {
                [] => format!("{of} takes none"),
                list => format!("{of} takes {}", list.join(", ")),
            };
            let text = format!("unknown kvsd attribute `{name}`: {advice}");
            errors.push(syn::Error::new(meta.path().span(), text));
        } else if seen.contains(&name) {
            let text = format!("`{name}` is given twice");
            errors.push(syn::Error::new(meta.path().span(), text));
        } else {
            seen.push(name);
            kept.push(meta);
        }
    }
    kept
}

pub(crate) fn read_text(meta: &Meta) -> syn::Result<LitStr> {
    match ungroup(&meta.require_name_value()?.value) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(syn::Error::new(other.span(), "a text in quotes is expected here")),
    }
}

/// A path, bare or, as serde wants it, in quotes.
fn read_path(meta: &Meta) -> syn::Result<Path> {
    match ungroup(&meta.require_name_value()?.value) {
        Expr::Path(ExprPath { qself: None, path, .. }) => Ok(path.clone()),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.parse_with(Path::parse_mod_style),
        other => Err(syn::Error::new(other.span(), "a path is expected here, such as `::kvsd`")),
    }
}

/// A macro that passes an expression on wraps it in an invisible group.
pub(crate) fn ungroup(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

fn read_codec(meta: &Meta) -> syn::Result<Codec> {
    let text = read_text(meta)?;
    match text.value().as_str() {
        "bincode" => Ok(Codec::Bincode),
        "postcard" => Ok(Codec::Postcard),
        "json" => Ok(Codec::Json),
        other => {
            let message =
                format!("unknown codec `{other}`: there are `bincode`, `postcard` and `json`");
            Err(syn::Error::new(text.span(), message))
        }
    }
}

/// The same rule as in `kvsd::value::Envelope`.
fn check_name(name: &LitStr) -> syn::Result<()> {
    let text = name.value();
    let fits = |c: char| c.is_alphanumeric() || c.is_ascii_punctuation();
    let problem = match text.len() {
        0 => "is empty".to_owned(),
        bytes if bytes > MAX_NAME_BYTES => format!("has {bytes} bytes"),
        _ if !text.chars().all(fits) => "has other characters".to_owned(),
        _ => return Ok(()),
    };
    let message = format!(
        "a stored type's name is 1 to {MAX_NAME_BYTES} bytes of letters, digits and punctuation, \
         and `{text}` {problem}; give it a name with `#[kvsd(name = \"..\")]`"
    );
    Err(syn::Error::new(name.span(), message))
}

/// As `kvsd::value::MAX_TYPE_NAME_BYTES`.
const MAX_NAME_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_as_long_as_the_envelope_has_room_for() {
        assert_eq!(super::MAX_NAME_BYTES, kvsd::value::MAX_TYPE_NAME_BYTES);
    }
}
