//! The implementations of `Keyed` and `PrefixOf`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Lifetime, WherePredicate, parse_quote};

use super::Keyed;
use super::template::Part;
use crate::ast::Container;
use crate::check;
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
    let args = args(container, &template.parts, &lifetime);
    let (names, pattern) = names(template.parts.len());

    let of_fields = template.parts.iter().map(|Part { member, .. }| quote!(&self.#member));
    let of_fields = writes(container, keyed, of_fields.collect());
    let of_parts = writes(container, keyed, names.iter().map(|name| quote!(&#name)).collect());
    let first = template.parts.first().map(|part| part.literal.as_str());
    let prefixes = (1..template.parts.len()).map(|count| prefix_of(container, keyed, count));
    quote! {
        #[automatically_derived]
        impl #impl_generics #key::Keyed for #ident #ty_generics #where_clause {
            const TABLE: ::core::option::Option<&'static ::core::primitive::str> = #table;
            const TTL: ::core::option::Option<::core::time::Duration> = #ttl;
            type Parts<#lifetime> = #args where Self: #lifetime;

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
    let where_clause = generics.make_where_clause();
    where_clause.predicates.push(parse_quote!(Self: #lifetime));
    let where_clause = where_clause.clone();
    let (_, ty_generics, _) = container.input.generics.split_for_impl();
    generics.params.insert(0, parse_quote!(#lifetime));
    let (impl_generics, _, _) = generics.split_for_impl();
    let args = args(container, leading, &lifetime);
    let (names, pattern) = names(count);
    let writes = leading.iter().zip(&names).map(|(part, name)| {
        let literal = &part.literal;
        quote! {
            key.write(#literal);
            #key::KeyPart::append_to(&#name, &mut key);
        }
    });
    let up_to_the_next = following.first().map(|part| &part.literal);
    quote! {
        #[automatically_derived]
        impl #impl_generics #key::PrefixOf<#args, #count> for #ident #ty_generics #where_clause {
            fn leading(#pattern: #args) -> #key::Prefix<Self> {
                let mut key = #key::KeyWriter::new();
                #(#writes)*
                key.write(#up_to_the_next);
                key.into_prefix()
            }
        }
    }
}

/// Writes all parts into `key`: the last one as an end if nothing follows it.
fn writes(container: &Container<'_>, keyed: &Keyed<'_>, values: Vec<TokenStream>) -> TokenStream {
    let krate = &container.kvsd.krate;
    let Keyed { template, .. } = keyed;
    let last = values.len() - 1;
    let parts = template.parts.iter().zip(values).enumerate().map(|(at, (part, value))| {
        let method = match at == last && template.tail.is_empty() {
            true => format_ident!("append_last_to"),
            false => format_ident!("append_to"),
        };
        let literal = &part.literal;
        quote! {
            key.write(#literal);
            #krate::key::KeyPart::#method(#value, &mut key);
        }
    });
    let tail = &template.tail;
    quote! {
        #(#parts)*
        key.write(#tail);
    }
}

/// What is given for the parts: one type, or a tuple.
fn args(container: &Container<'_>, parts: &[Part<'_>], lifetime: &Lifetime) -> TokenStream {
    let krate = &container.kvsd.krate;
    let args = parts.iter().map(|Part { ty, .. }| {
        quote_spanned!(layout::shown_at(ty)=> <#ty as #krate::key::KeyPart>::Arg<#lifetime>)
    });
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

/// The type's generics, with a bound for each part whose type depends on a parameter.
fn bounded(container: &Container<'_>, parts: &[Part<'_>]) -> Generics {
    let krate = &container.kvsd.krate;
    let mut generics = container.input.generics.clone();
    let params: Vec<Ident> = generics.type_params().map(|param| param.ident.clone()).collect();
    let asked = parts.iter().filter(|part| check::mentions(part.ty, &params));
    let bounds: Vec<WherePredicate> =
        asked.map(|Part { ty, .. }| parse_quote!(#ty: #krate::key::KeyPart)).collect();
    if !bounds.is_empty() {
        generics.make_where_clause().predicates.extend(bounds);
    }
    generics
}

fn optional(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
