//! What the macros write: `Encode`, `Decode` and, with `layout.rs`, `Layout`.
//!
//! Every name in the written code begins at the crate's path or at `::core`, so nothing in scope
//! can change what it means. What it calls is `kvsd::value::typed`.
//! Next file to read: `chain.rs`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Lifetime, parse_quote};

use crate::ast::Container;
use crate::attr::Codec;
use crate::chain;
use crate::check::Positional;
use crate::key::{self, Keyed};
use crate::layout;

/// Which macro was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derive {
    Value,
    Layout,
}

/// Writes the implementations for a type that was read and judged without errors.
pub(crate) fn expand(
    container: &Container<'_>,
    derive: Derive,
    positional: &Positional,
    keyed: Option<&Keyed<'_>>,
) -> TokenStream {
    let layout = layout::implement(container, positional);
    let value = (derive == Derive::Value).then(|| value(container));
    let keyed = keyed.map(|keyed| key::implement(container, keyed));
    quote!(#layout #value #keyed)
}

/// `Typed`, `Encode` and `Decode`.
fn value(container: &Container<'_>) -> TokenStream {
    let Container { input, kvsd, .. } = container;
    let (ident, krate, name) = (&input.ident, &kvsd.krate, &kvsd.name);
    let version = kvsd.evolution.version;
    let accepted = chain::accepted(container);
    let codec = format_ident!(
        "{}Codec",
        match kvsd.codec {
            Codec::Bincode => "Bincode",
            Codec::Postcard => "Postcard",
            Codec::Json => "Json",
        }
    );
    let (_, ty_generics, _) = input.generics.split_for_impl();

    let with_layout = layout::bounded(container);
    let (typed_impl, _, typed_where) = with_layout.split_for_impl();

    // A type without `Serialize` is one that is only read, as older versions are. The lifetime, of
    // which nothing depends, has the compiler ask where the value is written and not here.
    let mut to_write = with_layout.clone();
    let bound = parse_quote!(for<'__kvsd> #ident #ty_generics: #krate::__private::serde::Serialize);
    to_write.make_where_clause().predicates.push(bound);
    let (encode_impl, _, encode_where) = to_write.split_for_impl();

    // On the type as a whole it says just what serde's derive says. Without parameters it would
    // hide a missing `Deserialize` until the first use; so there, none.
    let stored: Lifetime = parse_quote!('__kvsd);
    let mut to_read = with_layout.clone();
    if !input.generics.params.is_empty() {
        let bound =
            parse_quote!(#ident #ty_generics: #krate::__private::serde::Deserialize<#stored>);
        let predicates = &mut to_read.make_where_clause().predicates;
        predicates.push(bound);
        predicates.extend(chain::bounds(container, &stored));
    }
    let decode_where = to_read.where_clause.clone();
    to_read.params.insert(0, parse_quote!(#stored));
    let (decode_impl, _, _) = to_read.split_for_impl();

    let check = checked_in_bodies(container);
    let encode = encode_body(container);
    let read = chain::read(container, &stored);
    quote! {
        #[automatically_derived]
        impl #typed_impl #krate::__private::Typed for #ident #ty_generics #typed_where {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u16 = #version;
            const ACCEPTED: &'static [::core::primitive::u64] = #accepted;
            type Codec = #krate::__private::#codec;
        }

        #[automatically_derived]
        impl #encode_impl #krate::value::Encode for #ident #ty_generics #encode_where {
            fn encode(
                &self,
                out: &mut #krate::value::ValueWriter<'_>,
            ) -> ::core::result::Result<(), #krate::value::EncodeError> {
                #check
                #encode
            }
        }

        #[automatically_derived]
        impl #decode_impl #krate::__private::Generation<#stored> for #ident #ty_generics
        #decode_where
        {
            fn read(
                envelope: &#krate::value::Envelope<#stored>,
            ) -> ::core::result::Result<Self, #krate::value::DecodeError> {
                #check
                #read
            }
        }

        #[automatically_derived]
        impl #decode_impl #krate::value::Decode<#stored> for #ident #ty_generics #decode_where {
            fn decode(
                bytes: &#stored [::core::primitive::u8],
            ) -> ::core::result::Result<Self, #krate::value::DecodeError> {
                #krate::__private::decode::<Self>(bytes)
            }
        }
    }
}

/// Writes and, where the type's own parameters do not stand in the way, reads back. A type
/// parameter may stand for something borrowed, so that what is read is another type than `Self`;
/// with a lifetime of the type itself the written code can name that other type.
fn encode_body(container: &Container<'_>) -> TokenStream {
    let krate = &container.kvsd.krate;
    if container.is_generic() {
        return quote!(#krate::__private::encode(self, out));
    }
    let again = container.ty_with(&parse_quote!('_));
    quote! {
        #krate::__private::encode_and_read_back(self, out, |bytes| {
            ::core::result::Result::map(
                <#again as #krate::value::Decode<'_>>::decode(bytes),
                ::core::mem::drop,
            )
        })
    }
}

/// Those of a type with parameters only where it is used.
fn checked_in_bodies(container: &Container<'_>) -> Option<TokenStream> {
    let krate = &container.kvsd.krate;
    (container.is_generic() && container.kvsd.codec.is_positional())
        .then(|| quote!(const { #krate::__private::check_positional::<Self>() };))
}
