//! The implementations of `Keyed` and `PrefixOf`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::{Generics, Lifetime, Path, WherePredicate, parse_quote, parse_quote_spanned};

use super::Keyed;
use super::template::Part;
use crate::ast::Container;
use crate::layout;

/// `Keyed`, and `PrefixOf` for each number of leading parts.
pub(crate) fn implement(container: &Container<'_>, keyed: &Keyed<'_>) -> TokenStream {
    let (ident, krate) = (&container.input.ident, &container.kvsd.krate);
    let Keyed { table, template, ttl_millis } = keyed;
    let table = optional(table.as_ref().map(|table| quote!(#table)));
    let ttl = ttl_millis.map(|millis| quote!(::core::time::Duration::from_millis(#millis)));
    let ttl = optional(ttl);

    let lifetime: Lifetime = parse_quote!('__kvsd);
    let generics = bounded(container, &template.parts);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let key = quote!(#krate::key);
    let args = args(krate, &template.parts, &lifetime);
    let (names, pattern) = names(template.parts.len());

    let after = match template.tail.as_str() {
        "" => After::Nothing,
        tail => After::Text(tail),
    };
    let of_fields = template.parts.iter().map(|Part { member, .. }| quote!(self.#member));
    let of_fields = writes(krate, &template.parts, of_fields, after);
    let of_parts = writes(krate, &template.parts, &names, after);
    let first = template.parts.first().map(|part| part.literal.as_str());
    let prefixes = (1..template.parts.len()).map(|count| prefix_of(container, keyed, count));
    quote! {
        #[automatically_derived]
        impl #impl_generics #key::Keyed for #ident #ty_generics #where_clause {
            const TABLE: ::core::option::Option<&'static ::core::primitive::str> = #table;
            const TTL: ::core::option::Option<::core::time::Duration> = #ttl;
            type Parts<#lifetime> = #args;

            fn key(&self) -> #key::Key<Self> {
                let mut key = #key::KeyWriter::new();
                #of_fields
                key.into_key()
            }

            fn key_of(#pattern: Self::Parts<'_>) -> #key::Key<Self> {
                let mut key = #key::KeyWriter::new();
                #of_parts
                key.into_key()
            }

            fn prefix() -> #key::Prefix<Self> {
                #key::Prefix::new(#first)
            }
        }

        #(#prefixes)*
    }
}

/// `PrefixOf` for this many leading parts.
fn prefix_of(container: &Container<'_>, keyed: &Keyed<'_>, count: usize) -> TokenStream {
    let (ident, krate) = (&container.input.ident, &container.kvsd.krate);
    let key = quote!(#krate::key);
    let lifetime: Lifetime = parse_quote!('__kvsd);
    let (leading, following) = keyed.template.parts.split_at(count);
    let mut generics = bounded(container, &keyed.template.parts);
    let where_clause = generics.where_clause.clone();
    let (_, ty_generics, _) = container.input.generics.split_for_impl();
    generics.params.insert(0, parse_quote!(#lifetime));
    let (impl_generics, _, _) = generics.split_for_impl();
    let args = args(krate, leading, &lifetime);
    let (names, pattern) = names(count);
    let up_to_the_next = following.first().map(|part| part.literal.as_str()).unwrap_or_default();
    let writes = writes(krate, leading, &names, After::Text(up_to_the_next));
    quote! {
        #[automatically_derived]
        impl #impl_generics #key::PrefixOf<#args, #count> for #ident #ty_generics #where_clause {
            fn leading(#pattern: #args) -> #key::Prefix<Self> {
                let mut key = #key::KeyWriter::new();
                #writes
                key.into_prefix()
            }
        }
    }
}

/// What follows the last part that is written.
#[derive(Clone, Copy)]
enum After<'t> {
    /// Nothing ever: the part is the key's end.
    Nothing,
    /// This text, and in a prefix any part after it.
    Text(&'t str),
}

/// Writes the values of parts into `key`, each after its literal.
fn writes(
    krate: &Path,
    parts: &[Part<'_>],
    values: impl IntoIterator<Item = impl ToTokens>,
    after: After<'_>,
) -> TokenStream {
    let literal = |text: &str| (!text.is_empty()).then(|| quote!(key.write(#text);));
    let last = parts.len() - 1;
    let writes = parts.iter().zip(values).enumerate().map(|(at, (part, value))| {
        let method = match after {
            After::Nothing if at == last => quote!(append_last_to),
            After::Nothing | After::Text(_) => quote!(append_to),
        };
        let literal = literal(&part.literal);
        quote!(#literal #krate::key::KeyPart::#method(&#value, &mut key);)
    });
    let tail = match after {
        After::Nothing => None,
        After::Text(text) => literal(text),
    };
    quote!(#(#writes)* #tail)
}

/// What is given for the parts: one type, or a tuple.
fn args(krate: &Path, parts: &[Part<'_>], lifetime: &Lifetime) -> TokenStream {
    let args =
        parts.iter().map(|Part { ty, .. }| quote!(<#ty as #krate::key::KeyPart>::Arg<#lifetime>));
    match parts.len() {
        1 => quote!(#(#args)*),
        _ => quote!((#(#args),*)),
    }
}

/// Names for so many parts, and the pattern that binds them.
fn names(count: usize) -> (Vec<Ident>, TokenStream) {
    let names: Vec<Ident> = (0..count).map(|at| format_ident!("part_{at}")).collect();
    let pattern = match names.as_slice() {
        [name] => quote!(#name),
        names => quote!((#(#names),*)),
    };
    (names, pattern)
}

/// The type's generics, with a bound for each part: also for those that depend on no parameter, so
/// that one that is no key part is one error, on its field.
fn bounded(container: &Container<'_>, parts: &[Part<'_>]) -> Generics {
    let krate = &container.kvsd.krate;
    let mut generics = container.input.generics.clone();
    let bounds = parts.iter().map(|Part { ty, .. }| -> WherePredicate {
        let bound = quote!(#krate::key::KeyPart).into_iter().map(|mut token| {
            token.set_span(token.span().located_at(ty.span()));
            token
        });
        let bound = TokenStream::from_iter(bound);
        parse_quote_spanned!(layout::shown_at(ty)=> #ty: #bound)
    });
    generics.make_where_clause().predicates.extend(bounds);
    generics
}

fn optional(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
