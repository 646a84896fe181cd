//! The implementation of `Layout`: the fingerprint, the fewest bytes, and where they are checked.
//!
//! What is hashed, and in which order, is stored with every value: it never changes for a type that
//! compiled before. Next file to read: `tokens.rs`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Generics, Ident, Type, WherePredicate, parse_quote};

use crate::ast::{Container, Data, Field, Form, Shape, Variant};
use crate::attr::{self, Serde};
use crate::chain;
use crate::check::{self, Positional};
use crate::tokens;

/// The implementation of `Layout`, and the check of it that needs no use of the type.
pub(crate) fn implement(container: &Container<'_>, positional: &Positional) -> TokenStream {
    let Container { input, kvsd, .. } = container;
    let (ident, krate) = (&input.ident, &kvsd.krate);
    let generics = bounded(container);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let fingerprint = fingerprint(container);
    let min_bytes = match positional {
        Positional::Fits => min_bytes(container),
        Positional::Refused => only_json(container, "can only be stored as JSON"),
    };
    let at_once = checked_at_once(container);
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::value::Layout for #ident #ty_generics #where_clause {
            const FINGERPRINT: ::core::primitive::u64 = #fingerprint;
            const MIN_BYTES: ::core::result::Result<
                ::core::primitive::usize,
                &'static ::core::primitive::str,
            > = #min_bytes;
        }

        #at_once
    }
}

/// The constants of a type without parameters are evaluated where it stands.
fn checked_at_once(container: &Container<'_>) -> Option<TokenStream> {
    if container.is_generic() {
        return None;
    }
    let krate = &container.kvsd.krate;
    let ty = container.ty_with(&parse_quote!('static));
    let positional = container
        .kvsd
        .codec
        .is_positional()
        .then(|| quote!(const _: () = #krate::__private::check_positional::<#ty>();));
    let evolution = chain::checked_at_once(container);
    Some(quote! {
        const _: ::core::primitive::u64 = <#ty as #krate::value::Layout>::FINGERPRINT;
        #positional
        #evolution
    })
}

fn fingerprint(container: &Container<'_>) -> TokenStream {
    let (krate, layout) = paths(container);
    if let Some(wire) = container.wire_type() {
        return quote!(<#wire as #layout>::FINGERPRINT);
    }
    if let Some(field) = container.transparent_field() {
        return field_fingerprint(container, field);
    }
    let kind = match &container.data {
        Data::Struct(shape) => shape.kind,
        Data::Enum(_) => "enum",
    };
    let (name, version) = (&container.kvsd.name, u64::from(container.kvsd.evolution.version));
    let by_name = by_name(&container.serde);
    let parts = match &container.data {
        Data::Struct(shape) => shape_parts(container, shape),
        Data::Enum(variants) => {
            let count = variants.len() as u64;
            let variants = variants.iter().map(|variant| variant_parts(container, variant));
            quote!(.number(#count) #(#variants)*)
        }
    };
    quote! {
        #krate::value::Fingerprint::of(#kind).text(#name).number(#version) #by_name #parts
            .finish()
    }
}

fn variant_parts(container: &Container<'_>, variant: &Variant<'_>) -> TokenStream {
    let Variant { name, serde, shape } = variant;
    let kind = shape.kind;
    let by_name = by_name(serde);
    let parts = match attr::is_custom(serde) {
        true => custom(serde),
        false => shape_parts(container, shape),
    };
    quote!(.text(#name).text(#kind) #by_name #parts)
}

fn shape_parts(container: &Container<'_>, shape: &Shape<'_>) -> TokenStream {
    let count = shape.stored_fields().count() as u64;
    let fields = shape.stored_fields().map(|field| {
        let (name, by_name) = (&field.name, by_name(&field.serde));
        let fingerprint = field_fingerprint(container, field);
        quote!(.text(#name) #by_name .number(#fingerprint))
    });
    quote!(.number(#count) #(#fields)*)
}

fn field_fingerprint(container: &Container<'_>, field: &Field<'_>) -> TokenStream {
    let (krate, layout) = paths(container);
    let Field { ty, serde, form, .. } = field;
    match form {
        // Under JSON a recursive type's field names the type instead of asking for its hash.
        Form::LaidOut if !check::is_recursive(container, field) => {
            quote_spanned!(shown_at(ty)=> <#ty as #layout>::FINGERPRINT)
        }
        Form::LaidOut | Form::Opaque | Form::Skipped => {
            let text = tokens::canonical(ty);
            quote!(#krate::value::Fingerprint::of("opaque").text(#text).finish())
        }
        Form::Custom => {
            let custom = custom(serde);
            quote!(#krate::value::Fingerprint::of("with") #custom .finish())
        }
    }
}

/// The functions that read and write stand for what they write.
fn custom(serde: &[Serde]) -> TokenStream {
    let parts = attr::CUSTOM.iter().filter_map(|name| {
        let path: String = attr::find(serde, name)?.text()?.value().split_whitespace().collect();
        Some(quote!(.text(#name).text(#path)))
    });
    parts.collect()
}

/// What only a codec with names can follow and what changes the form there.
fn by_name(serde: &[Serde]) -> TokenStream {
    let names = ["untagged", "tag", "content", "flatten", "from", "try_from", "into", "remote"];
    let parts = names.iter().filter_map(|name| {
        let text = attr::find(serde, name)?.text().map(|text| text.value()).unwrap_or_default();
        Some(quote!(.text(#name).text(#text)))
    });
    parts.collect()
}

fn min_bytes(container: &Container<'_>) -> TokenStream {
    let krate = &container.kvsd.krate;
    if let Some(wire) = container.wire_type() {
        return held(container, &wire);
    }
    let shape_bytes = |shape: &Shape<'_>| {
        let fields = shape.stored_fields().map(|field| field_bytes(container, field));
        quote!(#krate::__private::total(&[#(#fields),*]))
    };
    match &container.data {
        Data::Struct(shape) => shape_bytes(shape),
        Data::Enum(variants) => {
            let variants = variants.iter().map(|variant| match attr::is_custom(&variant.serde) {
                true => unseen_bytes(container, &quote!(0)),
                false => shape_bytes(&variant.shape),
            });
            quote!(#krate::__private::choice(&[#(#variants),*]))
        }
    }
}

fn field_bytes(container: &Container<'_>, field: &Field<'_>) -> TokenStream {
    let krate = &container.kvsd.krate;
    let ty = field.ty;
    match field.form {
        Form::LaidOut => held(container, ty),
        Form::Skipped => quote!(::core::result::Result::Ok(0)),
        Form::Custom | Form::Opaque => {
            unseen_bytes(container, &quote!(#krate::__private::opaque_bytes::<#ty>()))
        }
    }
}

/// A part's fewest bytes. With a positional codec a part that it cannot hold is an error, shown at
/// the part; with another one it is the whole type's answer.
fn held(container: &Container<'_>, ty: &Type) -> TokenStream {
    let (_, layout) = paths(container);
    let at = shown_at(ty);
    let bytes = quote_spanned!(at=> <#ty as #layout>::MIN_BYTES);
    if !container.kvsd.codec.is_positional() {
        return bytes;
    }
    quote_spanned! {at=>
        match #bytes {
            ::core::result::Result::Ok(bytes) => ::core::result::Result::Ok(bytes),
            ::core::result::Result::Err(why) => ::core::panic!("{}", why),
        }
    }
}

/// The fewest bytes of a part that only its user knows. Who stores it as JSON has not answered for
/// its not being recursive.
fn unseen_bytes(container: &Container<'_>, bytes: &TokenStream) -> TokenStream {
    if container.kvsd.codec.is_positional() {
        return quote!(::core::result::Result::Ok(#bytes));
    }
    only_json(container, "is stored as JSON and has a part whose layout is not known")
}

fn only_json(container: &Container<'_>, why: &str) -> TokenStream {
    let name = tokens::plain(&container.input.ident);
    let text =
        format!("`{name}` {why}: a type that holds it needs `#[kvsd(codec = \"json\")]` too");
    quote!(::core::result::Result::Err(#text))
}

/// The type's generics, with a bound for each type that is asked for its layout and depends on a
/// parameter.
pub(crate) fn bounded(container: &Container<'_>) -> Generics {
    let (_, layout) = paths(container);
    let mut generics = container.input.generics.clone();
    let params = generics.type_params().map(|param| param.ident.clone());
    let params: Vec<Ident> =
        params.chain(generics.const_params().map(|param| param.ident.clone())).collect();
    let mut asked: Vec<Type> = container.wire_type().into_iter().collect();
    for field in container.laid_out_fields() {
        if !check::is_recursive(container, field) {
            asked.push(field.ty.clone());
        }
    }
    asked.retain(|ty| check::mentions(ty, &params));
    if !asked.is_empty() {
        let bounds = asked.into_iter().map(|ty| -> WherePredicate { parse_quote!(#ty: #layout) });
        generics.make_where_clause().predicates.extend(bounds);
    }
    generics
}

/// Errors in the written code are shown at the user's type; its names are its own all the same.
pub(crate) fn shown_at(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}

fn paths<'c>(container: &'c Container<'_>) -> (&'c syn::Path, TokenStream) {
    let krate = &container.kvsd.krate;
    (krate, quote!(#krate::value::Layout))
}
