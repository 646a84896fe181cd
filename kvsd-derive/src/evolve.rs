//! The attributes by which a stored type changes: `version`, `from`, `try_from`, `freeze` and
//! `accept`, as they are read. What is written for them stands in `chain.rs`.
//! Next file to read: `check.rs`.

use proc_macro2::Span;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Generics, Lit, Meta, MetaNameValue, Path, Token, Type};

use crate::ast::is_generic;
use crate::attr::{self, Errors};
use crate::tokens;

/// How a type stands to its own past.
pub(crate) struct Evolution {
    /// The schema version, from 1.
    pub(crate) version: u16,
    pub(crate) older: Option<Older>,
    /// The fingerprint that the layout must have, and where that is said.
    pub(crate) freeze: Option<(u64, Span)>,
    pub(crate) accept: Vec<u64>,
    /// The attributes that say something of stored values, and nothing of a layout.
    of_values: Vec<Path>,
}

/// The type that the values of older versions are read as.
pub(crate) struct Older {
    pub(crate) ty: Type,
    pub(crate) conversion: Conversion,
    /// The attribute.
    given: Path,
}

/// How it becomes the newer one.
#[derive(Clone, Copy)]
pub(crate) enum Conversion {
    From,
    TryFrom,
}

/// The names of the attributes, in the order in which errors list them.
pub(crate) const NAMES: [&str; 5] = ["version", "from", "try_from", "freeze", "accept"];

impl Evolution {
    pub(crate) fn new() -> Self {
        Self { version: 1, older: None, freeze: None, accept: Vec::new(), of_values: Vec::new() }
    }

    /// Reads one of the attributes in [`NAMES`].
    pub(crate) fn read(&mut self, name: &str, meta: &Meta) -> syn::Result<()> {
        if name != "freeze" {
            self.of_values.push(meta.path().clone());
        }
        let value = attr::ungroup(&meta.require_name_value()?.value);
        match name {
            "version" => self.version = read_version(value)?,
            "freeze" => self.freeze = Some((read_fingerprint(value)?, value.span())),
            "accept" => self.accept = read_fingerprints(value)?,
            "from" => self.read_older(value, Conversion::From, meta.path())?,
            _ => self.read_older(value, Conversion::TryFrom, meta.path())?,
        }
        Ok(())
    }

    fn read_older(
        &mut self,
        value: &Expr,
        conversion: Conversion,
        given: &Path,
    ) -> syn::Result<()> {
        if self.older.is_some() {
            let text = "`from` and `try_from` exclude each other: there is one older type";
            return Err(syn::Error::new(given.span(), text));
        }
        let ty = read_type(value)?;
        self.older = Some(Older { ty, conversion, given: given.clone() });
        Ok(())
    }

    /// Judges what only all of the attributes together tell.
    pub(crate) fn check(&self, generics: &Generics, errors: &mut Errors) {
        if let Some(Older { given, .. }) = self.older.as_ref().filter(|_| self.version == 1) {
            let text = format!(
                "`{}` needs a `version` of 2 or more: nothing is older than version 1",
                tokens::canonical(given),
            );
            errors.push(syn::Error::new(given.span(), text));
        }
        if let Some((_, at)) = self.freeze.filter(|_| is_generic(generics)) {
            let text = "a type with parameters has a layout for each of their values, and cannot \
                        be frozen: freeze the types that hold it";
            errors.push(syn::Error::new(at, text));
        }
    }

    /// A type that is only a part of values has no version of its own.
    pub(crate) fn refuse_on_layout(&self, errors: &mut Errors) {
        for path in &self.of_values {
            let text = format!(
                "`{}` is for values that are stored by themselves: derive `kvsd::Value`, which \
                 includes `Layout`",
                tokens::canonical(path),
            );
            errors.push(syn::Error::new(path.span(), text));
        }
    }
}

/// An entry of `#[kvsd(..)]`: as any attribute's, but that a type may stand behind `from` and
/// `try_from` without quotes.
pub(crate) struct Entry(pub(crate) Meta);

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        let takes_type = ahead
            .call(Path::parse_mod_style)
            .is_ok_and(|path| path.is_ident("from") || path.is_ident("try_from"));
        if !takes_type || !ahead.peek(Token![=]) || ahead.peek2(Lit) {
            return input.parse().map(Self);
        }
        let path = input.call(Path::parse_mod_style)?;
        let eq_token = input.parse()?;
        let at = input.span();
        let ty: Type = input.parse().map_err(|_| syn::Error::new(at, A_TYPE))?;
        let value = Expr::Verbatim(ty.into_token_stream());
        Ok(Self(Meta::NameValue(MetaNameValue { path, eq_token, value })))
    }
}

/// A type, bare or in quotes.
fn read_type(value: &Expr) -> syn::Result<Type> {
    let ty = match value {
        Expr::Verbatim(ty) => syn::parse2(ty.clone()),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.parse(),
        other => Err(syn::Error::new(other.span(), A_TYPE)),
    };
    ty.map_err(|_| syn::Error::new(value.span(), A_TYPE))
}

fn read_version(value: &Expr) -> syn::Result<u16> {
    let wrong = || syn::Error::new(value.span(), "a version is a whole number from 1 to 65535");
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
            let number: u16 = number.base10_parse().map_err(|_| wrong())?;
            if number == 0 { Err(wrong()) } else { Ok(number) }
        }
        _ => Err(wrong()),
    }
}

fn read_fingerprint(value: &Expr) -> syn::Result<u64> {
    let wrong = || syn::Error::new(value.span(), A_FINGERPRINT);
    match attr::ungroup(value) {
        Expr::Lit(ExprLit { lit: Lit::Int(hash), .. }) => hash.base10_parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn read_fingerprints(value: &Expr) -> syn::Result<Vec<u64>> {
    let Expr::Array(list) = value else {
        let text = "a list of fingerprints is expected here, such as `[0x0123_4567_89ab_cdef]`";
        return Err(syn::Error::new(value.span(), text));
    };
    list.elems.iter().map(read_fingerprint).collect()
}

const A_TYPE: &str = "the older type is expected here, such as `UserV1`";
const A_FINGERPRINT: &str = "a fingerprint is expected here, such as `0x0123_4567_89ab_cdef`; \
    write `0` and the compiler tells it";
