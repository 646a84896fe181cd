//! Every shape of type: structs, enums, generics, lifetimes, nested and empty ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use kvsd::value::Envelope;
use kvsd::{Decode, Value};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{round_trip, stored};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Value)]
struct User {
    id: u64,
    name: String,
    tags: Vec<String>,
    address: Option<Address>,
    limits: BTreeMap<String, i64>,
    role: Role,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Layout)]
struct Address {
    ip: IpAddr,
    seen: Duration,
    position: (f64, f64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Value)]
enum Role {
    Guest,
    Member(u32),
    Owner { since: i32, share: f32 },
    Pair(i8, char),
}

#[test]
fn a_struct_of_many_kinds_of_fields() {
    let user = User {
        id: u64::MAX,
        name: "Zo\u{eb}".to_owned(),
        tags: vec!["a".to_owned(), String::new()],
        address: Some(Address {
            ip: IpAddr::from([127, 0, 0, 1]),
            seen: Duration::new(7, 9),
            position: (-0.5, f64::MAX),
        }),
        limits: BTreeMap::from([("up".to_owned(), -1)]),
        role: Role::Owner { since: -3, share: 0.25 },
    };
    assert_eq!(round_trip(&user), user);
}

#[test]
fn each_variant_of_an_enum() {
    let roles =
        [Role::Guest, Role::Member(7), Role::Owner { since: 1, share: 1.0 }, Role::Pair(-1, 'x')];
    for role in roles {
        assert_eq!(round_trip(&role), role);
    }
}

#[test]
fn tuple_newtype_unit_and_empty_structs() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Pair(u8, String);
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Id(u64);
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Empty {}

    let pair = Pair(1, "x".to_owned());
    assert_eq!(round_trip(&pair), pair);
    assert_eq!(round_trip(&Id(7)), Id(7));
    assert_eq!(round_trip(&Unit), Unit);
    assert_eq!(round_trip(&Empty {}), Empty {});
}

#[test]
fn generic_types_by_value_and_by_reference() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Page<T, const N: usize = 2> {
        items: Vec<T>,
        next: Option<u64>,
        #[serde(skip)]
        kind: PhantomData<fn() -> [T; N]>,
    }

    fn store<T: Value>(value: &T) -> Vec<u8> {
        stored(value)
    }

    let page: Page<String> = Page { items: vec!["a".to_owned()], next: Some(7), kind: PhantomData };
    assert_eq!(Page::decode(&store(&page)), Ok(page));
    // What only borrows is written with the same layout.
    let borrowed: Page<&str> = Page { items: vec!["a"], next: None, kind: PhantomData };
    let bytes = stored(&borrowed);
    assert_eq!(Page::<String>::decode(&bytes).unwrap().items, ["a"]);
    assert_eq!(Page::<&str>::decode(&bytes), Ok(borrowed));
}

#[test]
fn a_type_with_a_lifetime_borrows_from_the_stored_bytes() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct View<'a, 'b> {
        text: &'a str,
        bytes: &'b [u8],
        #[serde(borrow)]
        maybe: Cow<'a, str>,
    }

    let view = View { text: "hello", bytes: b"\x00\xFF", maybe: Cow::Borrowed("x") };
    let bytes = stored(&view);
    let read = View::decode(&bytes).unwrap();
    assert_eq!(read, view);
    let stored = bytes.as_ptr_range();
    assert!(stored.contains(&read.text.as_ptr()));
    assert!(matches!(read.maybe, Cow::Borrowed("x")));
}

#[test]
fn a_view_and_its_owner_share_what_is_stored() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Note")]
    struct Note {
        text: String,
        tags: Vec<String>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Note")]
    struct NoteView<'a> {
        text: &'a str,
        #[serde(borrow)]
        tags: Vec<&'a str>,
    }

    let bytes = stored(&Note { text: "t".to_owned(), tags: vec!["a".to_owned()] });
    assert_eq!(NoteView::decode(&bytes), Ok(NoteView { text: "t", tags: vec!["a"] }));
}

#[test]
fn raw_identifiers_and_names_that_shadow_the_standard_ones() {
    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Result {
        r#type: u8,
    }
    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Option(Result);
    let value = Option(Result { r#type: 3 });
    assert_eq!(round_trip(&value), value);
}

#[test]
fn the_crate_may_go_by_another_path() {
    mod inner {
        pub(super) use ::kvsd as store;
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(crate = inner::store)]
    struct Renamed(u8);
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(crate = "inner::store")]
    struct Quoted(u8);
    assert_eq!(round_trip(&Renamed(1)), Renamed(1));
    assert_eq!(round_trip(&Quoted(1)), Quoted(1));
}

#[test]
fn a_type_made_by_a_macro_with_its_attributes() {
    macro_rules! make {
        ($name:ident, $stored:expr, $ty:ty) => {
            #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
            #[kvsd(name = $stored)]
            struct $name {
                field: $ty,
            }
        };
    }
    make!(Made, "made", Vec<u8>);
    let made = Made { field: vec![1] };
    assert_eq!(Envelope::parse(&stored(&made)).unwrap().unwrap().type_name, "made");
    assert_eq!(round_trip(&made), made);
}

#[test]
fn a_foreign_field_is_opaque() {
    mod foreign {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub(super) struct Colour(pub(super) u32);
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    struct Pen {
        #[kvsd(opaque)]
        colour: foreign::Colour,
        #[kvsd(opaque)]
        more: HashMap<u8, foreign::Colour>,
    }
    let pen =
        Pen { colour: foreign::Colour(7), more: HashMap::from([(1, foreign::Colour(u32::MAX))]) };
    assert_eq!(round_trip(&pen), pen);
}

#[test]
fn the_envelope_tells_what_is_stored() {
    let bytes = stored(&Role::Member(300));
    let envelope = Envelope::parse(&bytes).unwrap().unwrap();
    assert_eq!(envelope.type_name, "Role");
    assert_eq!(envelope.version, 1);
    assert_eq!(envelope.codec.to_string(), "bincode");
    assert_eq!(envelope.fingerprint, <Role as kvsd::Layout>::FINGERPRINT);
    assert_eq!(envelope.payload, [1, 251, 44, 1]);
}

#[test]
fn a_value_beyond_the_limit_is_refused() {
    use kvsd::EncodeError;
    use kvsd::value::encode_to_bytes;

    let role = Role::Member(300);
    let exact = stored(&role).len();
    assert!(encode_to_bytes(&role, exact).is_ok());
    for limit in 0..exact {
        assert_eq!(encode_to_bytes(&role, limit), Err(EncodeError::TooLarge { limit }));
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Guest),
        any::<u32>().prop_map(Role::Member),
        (any::<i32>(), -1e9_f32..1e9).prop_map(|(since, share)| Role::Owner { since, share }),
        (any::<i8>(), any::<char>()).prop_map(|(number, letter)| Role::Pair(number, letter)),
    ]
}

prop_compose! {
    fn users()(
        id: u64,
        name: String,
        tags in proptest::collection::vec(any::<String>(), 0..4),
        address: Option<(IpAddr, Duration)>,
        position in (-1e9_f64..1e9, -1e9_f64..1e9),
        limits in proptest::collection::btree_map(any::<String>(), any::<i64>(), 0..4),
        role in roles(),
    ) -> User {
        let address = address.map(|(ip, seen)| Address { ip, seen, position });
        User { id, name, tags, address, limits, role }
    }
}

proptest! {
    #[test]
    fn any_value_reads_back(user in users()) {
        prop_assert_eq!(round_trip(&user), user);
    }
}
