//! Values that earlier versions of a type wrote, which this and every later one must read.
//!
//! They stand in `tests/fixtures`, one folder for each set of formats: `values-1` has the envelope
//! of format 1 and the three codecs as they are now. When a format changes, give its folder a name
//! in [`FIXTURES`], and run this once:
//!
//! ```text
//! KVSD_TEST_MAKE_FIXTURES=1 cargo test --test derive fixtures_are_made
//! ```
//!
//! That writes the last of them and refuses to touch one that is there already: what an earlier
//! version has written is never made again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kvsd::value::{CodecId, Envelope, Fault};
use kvsd::{Decode, DecodeError, Layout};
use serde::Deserialize;

use crate::{read_as, stored};

/// Every set of formats that was ever released, and the one that is written now.
const FIXTURES: [&str; 1] = ["values-1"];
const LATEST: &str = FIXTURES[FIXTURES.len() - 1];

/// The program as it was in three years, each with the newest type that it had.
mod first_year {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, kvsd::Value)]
    pub(super) struct User {
        pub(super) id: u64,
        pub(super) name: String,
    }
}

mod second_year {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, kvsd::Value)]
    #[kvsd(version = 2, from = super::UserV1, codec = "json")]
    pub(super) struct User {
        pub(super) id: u64,
        pub(super) name: String,
        pub(super) tags: Vec<String>,
    }

    impl From<super::UserV1> for User {
        fn from(old: super::UserV1) -> Self {
            Self { id: old.id, name: old.name, tags: Vec::new() }
        }
    }
}

/// What is left of the first year: it reads, and cannot be written.
#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "User", version = 1)]
struct UserV1 {
    id: u64,
    name: String,
}

#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "User", version = 2, from = UserV1, codec = "json")]
struct UserV2 {
    id: u64,
    name: String,
    tags: Vec<String>,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, kvsd::Value)]
#[kvsd(version = 3, try_from = UserV2, codec = "postcard")]
struct User {
    id: u64,
    first_name: String,
    last_name: String,
    tags: BTreeSet<String>,
}

impl From<UserV1> for UserV2 {
    fn from(old: UserV1) -> Self {
        Self { id: old.id, name: old.name, tags: vec!["since the first year".to_owned()] }
    }
}

#[derive(Debug, PartialEq)]
struct OneName(String);

impl std::fmt::Display for OneName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is one name only", self.0)
    }
}

impl std::error::Error for OneName {}

impl TryFrom<UserV2> for User {
    type Error = OneName;

    fn try_from(old: UserV2) -> Result<Self, OneName> {
        let Some((first, last)) = old.name.split_once(' ') else {
            return Err(OneName(old.name));
        };
        Ok(Self {
            id: old.id,
            first_name: first.to_owned(),
            last_name: last.to_owned(),
            tags: old.tags.into_iter().collect(),
        })
    }
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, kvsd::Value)]
struct Order {
    id: u64,
}

fn first() -> first_year::User {
    first_year::User { id: 7, name: "Ada Lovelace".to_owned() }
}

fn second() -> second_year::User {
    second_year::User { id: 8, name: "Mary Somerville".to_owned(), tags: vec!["b".into()] }
}

fn third() -> User {
    let (first_name, last_name) = ("Sofja".to_owned(), "Kowalewskaja".to_owned());
    User { id: 9, first_name, last_name, tags: BTreeSet::from(["c".to_owned()]) }
}

/// The files of the latest fixture: the name of each, and what it holds.
fn written() -> [(&'static str, Vec<u8>); 4] {
    [
        ("user-1", stored(&first())),
        ("user-2", stored(&second())),
        ("user-3", stored(&third())),
        ("order-1", stored(&Order { id: 300 })),
    ]
}

fn place(fixture: &str, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(fixture).join(name).with_extension("value")
}

fn load(fixture: &str, name: &str) -> Vec<u8> {
    let place = place(fixture, name);
    fs::read(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()))
}

#[test]
fn fixtures_are_made_on_request_and_never_made_again() {
    if std::env::var_os("KVSD_TEST_MAKE_FIXTURES").is_some() {
        for (name, bytes) in written() {
            let place = place(LATEST, name);
            assert!(!place.exists(), "{} is there already", place.display());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
        return;
    }
    for (name, bytes) in written() {
        assert_eq!(load(LATEST, name), bytes, "{name} is written as in {LATEST}");
    }
}

#[test]
fn values_of_three_generations_are_read_by_the_newest() {
    for fixture in FIXTURES {
        let read = |name| User::decode(&load(fixture, name)).unwrap();
        let ada = read("user-1");
        assert_eq!(
            (ada.id, ada.first_name.as_str(), ada.last_name.as_str()),
            (7, "Ada", "Lovelace")
        );
        assert_eq!(ada.tags, BTreeSet::from(["since the first year".to_owned()]));
        let mary = read("user-2");
        assert_eq!((mary.id, mary.last_name.as_str()), (8, "Somerville"));
        assert_eq!(mary.tags, BTreeSet::from(["b".to_owned()]));
        assert_eq!(read("user-3"), third());
    }
}

#[test]
fn the_fixtures_are_of_three_versions_and_three_codecs() {
    let told = ["user-1", "user-2", "user-3"].map(|name| {
        let bytes = load(LATEST, name);
        let envelope = Envelope::parse(&bytes).unwrap().unwrap();
        (envelope.type_name.to_owned(), envelope.version, envelope.codec.to_string())
    });
    let user = |version, codec: &str| ("User".to_owned(), version, codec.to_owned());
    assert_eq!(told, [user(1, "bincode"), user(2, "json"), user(3, "postcard")]);
}

#[test]
fn a_reader_older_than_the_value_says_so() {
    for fixture in FIXTURES {
        let newer = |found, known| DecodeError::NewerVersion { type_name: "User", found, known };
        assert_eq!(read_as::<first_year::User>(&load(fixture, "user-2")), newer(2, 1));
        assert_eq!(read_as::<first_year::User>(&load(fixture, "user-3")), newer(3, 1));
        assert_eq!(read_as::<second_year::User>(&load(fixture, "user-3")), newer(3, 2));
        assert_eq!(
            newer(3, 2).to_string(),
            "the stored User has version 3, and this program knows up to 2"
        );
        assert_eq!(second_year::User::decode(&load(fixture, "user-2")), Ok(second()));
    }
}

#[test]
fn a_wrong_type_says_which_was_found_and_which_was_expected() {
    for fixture in FIXTURES {
        let error = read_as::<User>(&load(fixture, "order-1"));
        assert_eq!(error, DecodeError::OtherType { found: "Order".into(), expected: "User" });
        for name in ["user-1", "user-2", "user-3"] {
            let error = read_as::<Order>(&load(fixture, name));
            assert_eq!(error, DecodeError::OtherType { found: "User".into(), expected: "Order" });
        }
    }
}

#[test]
fn a_refused_upgrade_names_type_and_versions_and_keeps_its_cause() {
    let canary = second_year::User { id: 1, name: "canary".to_owned(), tags: Vec::new() };
    let error = read_as::<User>(&stored(&canary));
    let DecodeError::Upgrade { type_name: "User", from: 2, to: 3, cause } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(cause.get_ref().downcast_ref(), Some(&OneName("canary".to_owned())));
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "canary is one name only");
    assert_eq!(error.clone(), error);

    // What it says itself holds nothing of the value.
    assert_eq!(error.to_string(), "the stored User of version 2 cannot become one of version 3");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");

    // One that began a version further down fails at the same step.
    let older = first_year::User { id: 1, name: "canary".to_owned() };
    let error = read_as::<User>(&stored(&older));
    assert!(matches!(error, DecodeError::Upgrade { from: 2, to: 3, .. }), "{error:?}");
}

#[test]
fn a_version_that_the_chain_does_not_have_is_named_with_the_next_one() {
    mod fourth_year {
        #[derive(Debug, serde::Deserialize, kvsd::Value)]
        #[kvsd(name = "User", version = 2)]
        pub(super) struct Oldest {
            id: u64,
        }
        #[derive(Debug, serde::Deserialize, kvsd::Value)]
        #[kvsd(version = 4, from = Oldest)]
        pub(super) struct User {
            id: u64,
        }
        impl From<Oldest> for User {
            fn from(old: Oldest) -> Self {
                Self { id: old.id }
            }
        }
        pub(super) fn id(user: &User) -> u64 {
            user.id
        }
    }
    use fourth_year::{Oldest, User, id};

    let unknown = |found, next| DecodeError::UnknownVersion { type_name: "User", found, next };
    assert_eq!(read_as::<User>(&load(LATEST, "user-1")), unknown(1, 2));
    assert_eq!(read_as::<Oldest>(&load(LATEST, "user-1")), unknown(1, 2));
    assert_eq!(read_as::<User>(&load(LATEST, "user-3")), unknown(3, 4));
    assert_eq!(
        unknown(3, 4).to_string(),
        "the stored User has version 3, which this program does not read; the next version that \
         it does is 4"
    );
    // The one that is there has another layout, and that is told with its own version.
    let bytes = load(LATEST, "user-2");
    let (found, expected) = (<second_year::User as Layout>::FINGERPRINT, Oldest::FINGERPRINT);
    let other = DecodeError::OtherLayout { type_name: "User", version: 2, found, expected };
    assert_eq!(read_as::<User>(&bytes), other);
    assert_eq!(id(&User::from(serde_json::from_str::<Oldest>(r#"{"id":1}"#).unwrap())), 1);
}

#[test]
fn damage_to_an_older_value_is_told_with_its_codec() {
    let truncated = |bytes: &[u8], codec| {
        let fault = Fault::Truncated;
        let corrupt = DecodeError::Corrupt { type_name: "User", codec, fault };
        assert_eq!(read_as::<User>(&bytes[..bytes.len() - 1]), corrupt);
    };
    truncated(&load(LATEST, "user-1"), CodecId::BINCODE);
    truncated(&load(LATEST, "user-2"), CodecId::JSON);
    truncated(&load(LATEST, "user-3"), CodecId::POSTCARD);
}

#[test]
fn no_flipped_bit_of_an_older_value_goes_unseen() {
    for name in ["user-1", "user-2", "user-3"] {
        let bytes = load(LATEST, name);
        let whole = User::decode(&bytes);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_ne!(User::decode(&flipped), whole, "bit {bit} of byte {at} means nothing");
            }
        }
    }
}
