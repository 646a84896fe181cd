//! Tokens as text, for fingerprints: the same tokens give the same text with every compiler and
//! however they are spaced. Next file to read: `expand.rs`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Ident;
use syn::ext::IdentExt;

/// An identifier without its `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// Tokens as text without any space, but for one between two words.
pub(crate) fn canonical(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    append(&mut text, tokens.to_token_stream());
    text
}

fn append(text: &mut String, tokens: TokenStream) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                append(text, group.stream());
                text.push_str(close);
            }
            TokenTree::Punct(punct) => text.push(punct.as_char()),
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if text.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_does_not_matter_and_words_stay_apart() {
        let canonical = |text: &str| canonical(&text.parse::<TokenStream>().unwrap());
        assert_eq!(canonical("Vec < Option<u8> >"), "Vec<Option<u8>>");
        assert_eq!(canonical("& 'a  dyn  A :: B + [ u8 ; 3 ]"), "&'a dyn A::B+[u8;3]");
    }
}
