//! The type as it was read: its shape, the names that serde writes, and its attributes.
//!
//! It says nothing of what may be stored. Next file to read: `attr.rs`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{DeriveInput, Generics, Lifetime, Type};

use crate::attr::{self, Errors, KvsdContainer, Serde};
use crate::case::{self, Named};
use crate::tokens;

/// A type under `#[derive(..)]`.
pub(crate) struct Container<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) kvsd: KvsdContainer,
    pub(crate) serde: Vec<Serde>,
    pub(crate) data: Data<'a>,
}

/// What a type is made of.
pub(crate) enum Data<'a> {
    Struct(Shape<'a>),
    Enum(Vec<Variant<'a>>),
}

/// The fields of a struct or a variant.
pub(crate) struct Shape<'a> {
    /// `struct`, `tuple` or `unit`.
    pub(crate) kind: &'static str,
    pub(crate) fields: Vec<Field<'a>>,
}

pub(crate) struct Field<'a> {
    /// The name that is written, or the place.
    pub(crate) name: String,
    pub(crate) ty: &'a Type,
    pub(crate) serde: Vec<Serde>,
    pub(crate) form: Form,
}

/// How a field is stored, so far as its layout goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As its type is.
    LaidOut,
    /// Not at all.
    Skipped,
    /// By functions of the user's own.
    Custom,
    /// As its type is, which has no layout.
    Opaque,
}

pub(crate) struct Variant<'a> {
    /// The name that is written.
    pub(crate) name: String,
    pub(crate) serde: Vec<Serde>,
    pub(crate) shape: Shape<'a>,
}

impl<'a> Container<'a> {
    pub(crate) fn read(input: &'a DeriveInput, errors: &mut Errors) -> Self {
        let kvsd = KvsdContainer::read(input, errors);
        let serde = Serde::read(&input.attrs, errors);
        let data = match &input.data {
            syn::Data::Struct(data) => {
                Data::Struct(Shape::read(&data.fields, rule(&serde, "rename_all"), errors))
            }
            syn::Data::Enum(data) => Data::Enum(
                data.variants
                    .iter()
                    .map(|variant| Variant::read(variant, &serde, errors))
                    .collect(),
            ),
            syn::Data::Union(data) => {
                let text = "a union cannot be stored: nothing tells which of its fields it holds";
                errors.push(syn::Error::new(data.union_token.span(), text));
                Data::Enum(Vec::new())
            }
        };
        Self { input, kvsd, serde, data }
    }

    /// All fields, those of variants too.
    pub(crate) fn fields(&self) -> Vec<&Field<'a>> {
        match &self.data {
            Data::Struct(shape) => shape.fields.iter().collect(),
            Data::Enum(variants) => {
                variants.iter().flat_map(|variant| &variant.shape.fields).collect()
            }
        }
    }

    /// The fields whose types have a part in the layout.
    pub(crate) fn laid_out_fields(&self) -> Vec<&Field<'a>> {
        if self.wire_type().is_some() {
            return Vec::new();
        }
        let mut fields = match &self.data {
            Data::Struct(_) => self.fields(),
            Data::Enum(variants) => {
                let laid_out = variants.iter().filter(|variant| !attr::is_custom(&variant.serde));
                laid_out.flat_map(|variant| &variant.shape.fields).collect()
            }
        };
        fields.retain(|field| field.form == Form::LaidOut);
        fields
    }

    /// Whether the type has parameters that are not lifetimes.
    pub(crate) fn is_generic(&self) -> bool {
        is_generic(&self.input.generics)
    }

    /// The type with one lifetime in the place of all; for one that is not generic.
    pub(crate) fn ty_with(&self, lifetime: &Lifetime) -> TokenStream {
        let ident = &self.input.ident;
        let lifetimes = self.input.generics.lifetimes().map(|_| lifetime);
        quote!(#ident<#(#lifetimes),*>)
    }

    /// The one field that stands for all of a `#[serde(transparent)]` struct.
    pub(crate) fn transparent_field(&self) -> Option<&Field<'a>> {
        let Data::Struct(shape) = &self.data else {
            return None;
        };
        if !attr::has(&self.serde, "transparent") {
            return None;
        }
        let mut stored = shape.stored_fields();
        let real = shape.stored_fields().find(|field| !is_phantom(field.ty));
        real.or_else(|| stored.next())
    }

    /// The type that is written and read in this one's place: `from` (or `try_from`) and `into`
    /// with the same type.
    pub(crate) fn wire_type(&self) -> Option<Type> {
        let into = attr::find(&self.serde, "into")?.text()?.parse::<Type>().ok()?;
        let from = attr::find(&self.serde, "from").or(attr::find(&self.serde, "try_from"))?;
        let from = from.text()?.parse::<Type>().ok()?;
        (tokens::canonical(&from) == tokens::canonical(&into)).then_some(into)
    }
}

impl<'a> Shape<'a> {
    fn read(fields: &'a syn::Fields, rule: Option<String>, errors: &mut Errors) -> Self {
        let kind = match fields {
            syn::Fields::Named(_) => "struct",
            syn::Fields::Unnamed(_) => "tuple",
            syn::Fields::Unit => "unit",
        };
        let fields = fields.iter().enumerate().map(|(at, field)| {
            let serde = Serde::read(&field.attrs, errors);
            let name = match &field.ident {
                Some(ident) => written_name(&serde, ident, rule.as_deref(), Named::Field),
                None => at.to_string(),
            };
            let opaque = attr::is_opaque(&field.attrs, errors);
            Field { name, ty: &field.ty, form: Form::of(&serde, opaque), serde }
        });
        Self { kind, fields: fields.collect() }
    }

    /// The fields that are written and read.
    pub(crate) fn stored_fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter().filter(|field| field.form != Form::Skipped)
    }
}

impl<'a> Variant<'a> {
    fn read(variant: &'a syn::Variant, container: &[Serde], errors: &mut Errors) -> Self {
        attr::refuse_on_variant(&variant.attrs, errors);
        let serde = Serde::read(&variant.attrs, errors);
        let of_variants = rule(container, "rename_all");
        let name = written_name(&serde, &variant.ident, of_variants.as_deref(), Named::Variant);
        let of_fields = rule(&serde, "rename_all").or(rule(container, "rename_all_fields"));
        let shape = Shape::read(&variant.fields, of_fields, errors);
        Self { name, serde, shape }
    }
}

impl Form {
    fn of(serde: &[Serde], opaque: bool) -> Self {
        let has = |name| attr::has(serde, name);
        if has("skip") || has("skip_serializing") && has("skip_deserializing") {
            Self::Skipped
        } else if attr::is_custom(serde) {
            Self::Custom
        } else if opaque {
            Self::Opaque
        } else {
            Self::LaidOut
        }
    }
}

/// Whether there are parameters that are not lifetimes.
pub(crate) fn is_generic(generics: &Generics) -> bool {
    generics.type_params().next().is_some() || generics.const_params().next().is_some()
}

fn rule(serde: &[Serde], name: &str) -> Option<String> {
    attr::find(serde, name)?.text_for_writing()
}

fn written_name(serde: &[Serde], ident: &syn::Ident, rule: Option<&str>, named: Named) -> String {
    let plain = tokens::plain(ident);
    attr::find(serde, "rename").and_then(Serde::text_for_writing).unwrap_or_else(|| match rule {
        Some(rule) => case::rename(&plain, rule, named),
        None => plain,
    })
}

fn is_phantom(ty: &Type) -> bool {
    let Type::Path(ty) = ty else {
        return false;
    };
    ty.path.segments.last().is_some_and(|last| last.ident == "PhantomData")
}
