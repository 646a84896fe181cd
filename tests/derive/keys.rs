//! `#[kvsd(key = "..")]`: what the keys of a derived type are, their order, and the prefixes of
//! scans.

use std::collections::BTreeSet;
use std::time::Duration;

use kvsd::key::{KeyPart, KeyWriter};
use kvsd::types::check_key;
use kvsd::{Key, KeyError, Keyed, Prefix};
use kvsd_server::Embedded;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "orders", key = "order/{customer}/{year}-{id}", ttl = "30d")]
struct Order {
    total: u64,
    id: String,
    customer: String,
    year: i16,
}

fn order(customer: &str, year: i16, id: &str) -> Order {
    Order { total: 0, id: id.to_owned(), customer: customer.to_owned(), year }
}

#[test]
fn a_key_is_the_template_with_the_fields_in_its_order() {
    let key = order("ada", 2026, "x").key();
    assert_eq!(key.as_ref(), b"order/ada\x00\x01/34794-x");
    assert_eq!(key, Order::key_of(("ada", 2026, "x")));
}

#[test]
fn the_table_and_the_time_to_live_are_those_of_the_attributes() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(key = "{0}")]
    struct Bare(u8);

    assert_eq!((Order::TABLE, Bare::TABLE), (Some("orders"), None));
    assert_eq!(Order::TTL, Some(Duration::from_secs(30 * 24 * 3600)));
    assert_eq!(Bare::TTL, None);
    kvsd::TableName::parse(Order::TABLE.unwrap()).expect("a sound name");
}

#[test]
fn there_is_a_prefix_for_each_number_of_leading_parts() {
    let all: Prefix<Order> = Order::prefix();
    assert_eq!(all.as_ref(), b"order/");
    let of_one: Prefix<Order> = Order::prefix_of("ada");
    assert_eq!(of_one.as_ref(), b"order/ada\x00\x01/");
    assert_eq!(Order::prefix_of(("ada", 2026)).as_ref(), b"order/ada\x00\x01/34794-");

    let key = order("ada", 2026, "x").key();
    assert!(key.as_ref().starts_with(of_one.as_ref()));
    let other = order("ada\0", 2026, "x").key();
    assert!(!other.as_ref().starts_with(of_one.as_ref()));
}

#[test]
fn a_template_may_begin_and_end_with_a_field_and_have_nothing_between() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(key = "{a}{b}{c}")]
    struct Packed {
        a: String,
        b: bool,
        c: Vec<u8>,
    }
    let key = Packed { a: "x".to_owned(), b: true, c: vec![0, 1] }.key();
    assert_eq!(key.as_ref(), b"x\x00\x011\x00\x01");
    assert_eq!(key, Packed::key_of(("x", true, &[0, 1])));
    assert_eq!(Packed::prefix().as_ref(), b"");
    assert_eq!(Packed::prefix_of("x").as_ref(), b"x\x00\x01");
}

#[test]
fn a_text_with_a_literal_after_it_still_orders_as_texts_do() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(key = "{{user}}/{0}/profile")]
    struct Profile(String);

    let short = Profile("a".to_owned()).key();
    assert_eq!(short.as_ref(), b"{user}/a\x00\x01/profile");
    assert!(short < Profile::key_of("a!"));
}

#[test]
fn raw_and_renamed_fields_go_by_their_names_in_rust() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[serde(rename_all = "UPPERCASE")]
    #[kvsd(key = "{type}/{key}")]
    struct Named {
        r#type: u8,
        #[serde(rename = "k")]
        key: [u8; 2],
    }
    let named = Named { r#type: 7, key: [0xAB, 1] };
    // The method, beside a field of the same name.
    assert_eq!(named.key().as_ref(), b"007/ab01");
    assert_eq!(Named::key_of((7, named.key)), named.key());
}

#[test]
fn generic_types_have_keys_if_their_parts_are_key_parts() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(key = "{first}/{second}/{third}")]
    struct Generic<A, T: Clone, const N: usize = 2>
    where
        A: Default,
    {
        first: T,
        second: Vec<u8>,
        third: Option2<T>,
        rest: A,
        #[serde(skip)]
        size: std::marker::PhantomData<[u8; N]>,
    }

    #[derive(Clone, Serialize, Deserialize, kvsd::Layout)]
    struct Option2<T>(T);

    impl<T: KeyPart> KeyPart for Option2<T> {
        type Arg<'p> = T::Arg<'p>;

        fn append_to(&self, key: &mut KeyWriter) {
            self.0.append_to(key);
        }
    }

    type Texts = Generic<f64, String>;
    let texts = Texts {
        first: "a".to_owned(),
        second: vec![1],
        third: Option2("b".to_owned()),
        rest: 0.5,
        size: std::marker::PhantomData,
    };
    assert_eq!(texts.key().as_ref(), b"a\x00\x01/\x01\x00\x01/b\x00\x01");
    assert_eq!(Texts::prefix_of("a").as_ref(), b"a\x00\x01/");
    assert_eq!(Texts::prefix_of(("a", &b"\x01"[..])).as_ref(), b"a\x00\x01/\x01\x00\x01/");
    assert_eq!(Generic::<(), u8>::prefix_of(7).as_ref(), b"007/");

    fn key_of_any<T: KeyPart + Clone>(record: &Generic<u8, T>) -> Key<Generic<u8, T>> {
        record.key()
    }
    let bytes =
        Generic { first: 1_u8, second: vec![], third: Option2(2), rest: 0, size: texts.size };
    assert_eq!(key_of_any(&bytes), Generic::key_of((1, &[], 2)));
}

#[test]
fn what_only_borrows_has_the_keys_of_what_owns() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Order", table = "orders", key = "order/{customer}/{year}-{id}")]
    struct View<'a, 'b> {
        total: u64,
        id: &'a str,
        #[serde(borrow)]
        customer: std::borrow::Cow<'b, str>,
        year: i16,
    }
    let (customer, id) = ("ada".to_owned(), "x".to_owned());
    let view = View { total: 0, id: &id, customer: "ada".into(), year: 2026 };
    assert_eq!(view.key().as_ref(), order("ada", 2026, "x").key().as_ref());
    assert_eq!(View::key_of((&customer, 2026, &id)), view.key());
    assert_eq!(View::prefix_of(("ada", 2026)).as_ref(), Order::prefix_of(("ada", 2026)).as_ref());
}

#[test]
fn a_part_of_ones_own_is_given_as_its_implementation_says() {
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    struct Path(Vec<String>);

    /// Each step closed, and an end that no step begins with.
    impl KeyPart for Path {
        type Arg<'p> = &'p Self;

        fn append_to(&self, key: &mut KeyWriter) {
            for step in &self.0 {
                true.append_to(key);
                step.append_to(key);
            }
            false.append_to(key);
        }
    }

    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(key = "file/{path}/{part}")]
    struct File {
        path: Path,
        part: u8,
    }
    let file = File { path: Path(vec!["a".to_owned(), "b".to_owned()]), part: 1 };
    assert_eq!(file.key().as_ref(), b"file/1a\x00\x011b\x00\x010/001");
    assert_eq!(File::key_of((&file.path, 1)), file.key());
    assert_eq!(File::prefix_of(&file.path).as_ref(), b"file/1a\x00\x011b\x00\x010/");
}

#[test]
fn names_in_scope_do_not_change_what_is_derived() {
    mod inner {
        pub(super) use ::kvsd as store;
    }
    struct Option;
    struct Key;
    struct Duration;
    struct KeyWriter;
    trait Append {
        fn append_to(&self) {}
        fn append_last_to(&self) {}
        fn key_of() {}
    }
    impl<T> Append for T {}
    let _ = (Option, Key, Duration, KeyWriter);
    Append::append_to(&7);
    Append::append_last_to(&7);
    u8::key_of();

    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(crate = inner::store, table = "t", key = "k/{a}/{b}", ttl = "1s")]
    struct Shadowed {
        a: u8,
        b: String,
    }
    assert_eq!(Shadowed { a: 1, b: "x".to_owned() }.key().as_ref(), b"k/001/x");
    assert_eq!(<Shadowed as Keyed>::key_of((1, "x")).as_ref(), b"k/001/x");
    assert_eq!(Shadowed::prefix_of(1).as_ref(), b"k/001/");
}

#[test]
fn a_macro_may_pass_the_template_on() {
    macro_rules! make {
        ($name:ident, $key:expr, $table:literal, $ty:ty) => {
            #[derive(Serialize, Deserialize, kvsd::Value)]
            #[kvsd(key = $key, table = $table)]
            struct $name {
                id: $ty,
                n: u8,
            }
        };
    }
    make!(Made, "made/{id}/{n}", "t", String);
    assert_eq!(Made { id: "x".to_owned(), n: 1 }.key(), Made::key_of(("x", 1)));
    assert_eq!(Made::prefix_of("x").as_ref(), b"made/x\x00\x01/");
}

#[test]
fn a_key_of_no_bytes_or_too_many_is_told_by_what_takes_it() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(key = "{0}")]
    struct Named(String);

    assert_eq!(check_key(Named::key_of("").as_ref()), Err(KeyError::Empty));
    let long = Named("x".repeat(1025)).key();
    assert_eq!(check_key(long.as_ref()), Err(KeyError::TooLong { bytes: 1025 }));
    assert_eq!(check_key(Named::key_of(&"x".repeat(1024)).as_ref()), Ok(()));
}

#[tokio::test]
async fn typed_keys_go_wherever_keys_go() {
    let server = Embedded::temporary().await.expect("an embedded server");
    let client = server.client().await.expect("a client");
    let order = order("ada", 2026, "x");
    client.set(order.key(), &order).await.expect("it is written");
    let found = client.get::<Order>(Order::key_of(("ada", 2026, "x"))).await;
    assert_eq!(found.expect("it is read"), Some(order.clone()));
    assert!(client.delete(order.key()).await.expect("it is deleted"));
    server.close().await.expect("the server closes");
}

/// Near each other, and with what could be taken for an end or a literal.
fn texts() -> impl Strategy<Value = String> + Clone {
    "[\0\u{1}/0-2a\u{ff}-]{0,3}"
}

proptest! {
    #[test]
    fn keys_order_as_their_parts_and_never_collide(
        tuples in proptest::collection::vec((texts(), -2..2_i16, texts()), 2..30),
    ) {
        let tuples: BTreeSet<_> = tuples.into_iter().collect();
        let keys: Vec<_> = tuples.iter().map(|(customer, year, id)| {
            Order::key_of((customer, *year, id))
        }).collect();
        prop_assert!(keys.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_prefix_begins_just_the_keys_with_its_parts(
        wanted in texts(),
        year in -2..2_i16,
        tuples in proptest::collection::vec((texts(), -2..2_i16, texts()), 1..30),
    ) {
        for (customer, of_year, id) in tuples {
            let key = order(&customer, of_year, &id).key();
            let begins = |prefix: Prefix<Order>| key.as_ref().starts_with(prefix.as_ref());
            prop_assert!(begins(Order::prefix()));
            prop_assert_eq!(begins(Order::prefix_of(wanted.as_str())), customer == wanted);
            let both = customer == wanted && of_year == year;
            prop_assert_eq!(begins(Order::prefix_of((wanted.as_str(), year))), both);
        }
    }
}
