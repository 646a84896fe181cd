//! What is written for a type that has a past: how it reads its older versions, and what the
//! compiler checks of them.
//!
//! How an older value is read stands in `kvsd::value::typed`, what the compiler says in
//! `kvsd::value::message`. Next file to read: `layout.rs`.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Lifetime, WherePredicate, parse_quote};

use crate::ast::Container;
use crate::evolve::{Conversion, Older};
use crate::tokens;

/// The fingerprints in `Typed::ACCEPTED`.
pub(crate) fn accepted(container: &Container<'_>) -> TokenStream {
    let accept = &container.kvsd.evolution.accept;
    quote!(&[#(#accept),*])
}

/// The body of `Generation::read`.
pub(crate) fn read(container: &Container<'_>, stored: &Lifetime) -> TokenStream {
    let krate = &container.kvsd.krate;
    let Some(older) = &container.kvsd.evolution.older else {
        return quote!(#krate::__private::read_oldest::<Self>(envelope));
    };
    let ty = older.with_elided(stored);
    let private = quote_spanned!(older.shown_at()=> #krate::__private);
    let call = match older.conversion {
        Conversion::From => quote_spanned!(older.shown_at()=> read_or_from::<Self, #ty>),
        Conversion::TryFrom => quote_spanned!(older.shown_at()=> read_or_try_from::<Self, #ty>),
    };
    let chained = container.is_generic().then(|| {
        let checks = chained(container, older, &quote!(Self), &ty);
        quote!(const { #checks })
    });
    quote!(#chained #private::#call(envelope))
}

/// What a type with parameters needs for its older one to be read.
pub(crate) fn bounds(container: &Container<'_>, stored: &Lifetime) -> Vec<WherePredicate> {
    let krate = &container.kvsd.krate;
    let Some(older) = &container.kvsd.evolution.older else {
        return Vec::new();
    };
    let ty = older.with_elided(stored);
    let mut bounds = vec![parse_quote!(#ty: #krate::__private::Generation<#stored>)];
    match older.conversion {
        Conversion::From => bounds.push(parse_quote!(Self: ::core::convert::From<#ty>)),
        Conversion::TryFrom => {
            bounds.push(parse_quote! {
                Self: ::core::convert::TryFrom<
                    #ty,
                    Error: ::core::convert::Into<#krate::__private::BoxError>,
                >
            });
        }
    }
    bounds
}

/// What the compiler checks where the type stands: its frozen layout, and its place in the chain.
pub(crate) fn checked_at_once(container: &Container<'_>) -> Option<TokenStream> {
    if container.is_generic() {
        return None;
    }
    let ty = container.ty_with(&parse_quote!('static));
    let chained = container.kvsd.evolution.older.as_ref().map(|older| {
        let checks = chained(container, older, &ty, &older.with_all(&parse_quote!('static)));
        quote!(const _: () = { #checks };)
    });
    let frozen = frozen(container, &ty);
    Some(quote!(#chained #frozen))
}

fn frozen(container: &Container<'_>, ty: &TokenStream) -> Option<TokenStream> {
    let krate = &container.kvsd.krate;
    let (hash, at) = container.kvsd.evolution.freeze?;
    let name = tokens::plain(&container.input.ident);
    let fails = fails(container, at);
    Some(quote! {
        const _: () = {
            let message = #krate::__private::frozen::<#ty>(#name, #hash);
            #fails
        };
    })
}

/// Asks whether the older type is one of this type's chain.
fn chained(
    container: &Container<'_>,
    older: &Older,
    ty: &TokenStream,
    older_ty: &TokenStream,
) -> TokenStream {
    let krate = &container.kvsd.krate;
    let name = tokens::canonical(&older.ty);
    let fails = fails(container, older.ty.span());
    quote! {
        let message = #krate::__private::chained::<#ty, #older_ty>(#name);
        #fails
    }
}

/// Fails the compilation with `message`, if it is one, at a token of the user's.
fn fails(container: &Container<'_>, at: Span) -> TokenStream {
    let krate = &container.kvsd.krate;
    let at = Span::call_site().located_at(at);
    let fail = quote_spanned!(at=> ::core::panic!("{}", message.as_str()));
    quote! {
        if let ::core::option::Option::Some(message) = message {
            let message: #krate::__private::Message = message;
            #fail
        }
    }
}

impl Older {
    /// The type; a lifetime that is left out is that of the stored bytes.
    fn with_elided(&self, stored: &Lifetime) -> TokenStream {
        with_lifetimes(self.ty.to_token_stream(), stored, |name| name == "_")
    }

    /// The type with one lifetime in the place of all.
    fn with_all(&self, lifetime: &Lifetime) -> TokenStream {
        with_lifetimes(self.ty.to_token_stream(), lifetime, |_| true)
    }

    fn shown_at(&self) -> Span {
        Span::call_site().located_at(self.ty.span())
    }
}

/// The tokens with one lifetime in the place of those whose names are picked.
fn with_lifetimes(from: TokenStream, to: &Lifetime, picked: fn(&str) -> bool) -> TokenStream {
    let mut written = TokenStream::new();
    let mut tokens = from.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_mark = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '\'');
        let name = tokens.peek().filter(|_| is_mark).map(ToString::to_string);
        match token {
            _ if name.is_some_and(|name| picked(&name)) => {
                tokens.next();
                to.to_tokens(&mut written);
            }
            TokenTree::Group(group) => {
                let inner = with_lifetimes(group.stream(), to, picked);
                written.extend([TokenTree::Group(Group::new(group.delimiter(), inner))]);
            }
            other => written.extend([other]),
        }
    }
    written
}
