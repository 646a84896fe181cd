//! Chains of every shape: generic, borrowing, transparent, long; and what they leave alone.

use std::borrow::Cow;

use kvsd::{Decode, DecodeError, EncodeError, Layout};
use serde::{Deserialize, Serialize};

use crate::{read_as, round_trip, stored};

#[test]
fn a_long_chain_goes_up_one_step_at_a_time() {
    macro_rules! generations {
        ($first:ident; $($newer:ident = $version:literal from $older:ty;)*) => {
            #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
            #[kvsd(name = "Steps")]
            struct $first(Vec<u16>);
            $(
                #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
                #[kvsd(name = "Steps", version = $version, from = $older)]
                struct $newer(Vec<u16>);
                impl From<$older> for $newer {
                    fn from(mut old: $older) -> Self {
                        old.0.push($version);
                        Self(old.0)
                    }
                }
            )*
        };
    }
    generations! {
        First;
        Second = 2 from First;
        Fifth = 5 from Second;
        Last = 65_535 from Fifth;
    }
    assert_eq!(Last::decode(&stored(&First(vec![1]))).unwrap().0, [1, 2, 5, 65_535]);
    assert_eq!(Last::decode(&stored(&Second(vec![2]))).unwrap().0, [2, 5, 65_535]);
    assert_eq!(Last::decode(&stored(&Fifth(vec![5]))).unwrap().0, [5, 65_535]);
    assert_eq!(round_trip(&Last(vec![7])).0, [7]);
}

#[test]
fn a_borrowing_type_is_made_from_an_owned_one_and_the_other_way_round() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Note")]
    struct NoteV1 {
        text: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Note", version = 2, from = NoteV1)]
    struct NoteView<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
        stars: u8,
    }
    impl From<NoteV1> for NoteView<'_> {
        fn from(old: NoteV1) -> Self {
            Self { text: Cow::Owned(old.text), stars: 0 }
        }
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(version = 3, from = NoteView<'_>)]
    struct Note {
        title: String,
    }
    impl From<NoteView<'_>> for Note {
        fn from(old: NoteView<'_>) -> Self {
            Self { title: old.text.into_owned() }
        }
    }

    let first = stored(&NoteV1 { text: "one".to_owned() });
    let second = stored(&NoteView { text: "two".into(), stars: 5 });
    assert!(matches!(NoteView::decode(&first).unwrap().text, Cow::Owned(text) if text == "one"));
    assert!(matches!(NoteView::decode(&second).unwrap().text, Cow::Borrowed("two")));
    assert_eq!(Note::decode(&first).unwrap().title, "one");
    assert_eq!(Note::decode(&second).unwrap().title, "two");
}

#[test]
fn a_borrowing_chain_borrows_from_the_stored_bytes_all_the_way() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Line")]
    struct LineV1<'a>(&'a str);
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(version = 2, from = "LineV1<'a>")]
    struct Line<'a> {
        text: &'a str,
        number: u32,
    }
    impl<'a> From<LineV1<'a>> for Line<'a> {
        fn from(LineV1(text): LineV1<'a>) -> Self {
            Self { text, number: 0 }
        }
    }

    let bytes = stored(&LineV1("canto"));
    let read = Line::decode(&bytes).unwrap();
    assert_eq!(read, Line { text: "canto", number: 0 });
    assert!(bytes.as_ptr_range().contains(&read.text.as_ptr()));
}

#[test]
fn a_generic_chain_upgrades_with_its_parameter() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Page")]
    struct PageV1<T> {
        items: Vec<T>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(version = 2, try_from = PageV1<T>)]
    struct Page<T> {
        first: T,
        rest: Vec<T>,
    }
    impl<T> TryFrom<PageV1<T>> for Page<T> {
        type Error = &'static str;
        fn try_from(old: PageV1<T>) -> Result<Self, Self::Error> {
            let mut items = old.items.into_iter();
            let first = items.next().ok_or("an empty page")?;
            Ok(Self { first, rest: items.collect() })
        }
    }

    let old = stored(&PageV1 { items: vec!["a".to_owned(), "b".to_owned()] });
    let page = Page { first: "a".to_owned(), rest: vec!["b".to_owned()] };
    assert_eq!(Page::<String>::decode(&old), Ok(page));
    assert_eq!(Page::<&str>::decode(&old).unwrap().rest, ["b"]);

    let error = read_as::<Page<u8>>(&stored(&PageV1::<u8> { items: Vec::new() }));
    let DecodeError::Upgrade { cause, .. } = error else { panic!("{error:?}") };
    assert_eq!(cause.to_string(), "an empty page");
}

#[test]
fn enums_have_versions_too() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Role")]
    enum RoleV1 {
        Guest,
        Admin,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(version = 2, from = RoleV1)]
    enum Role {
        Member { level: u8 },
        Guest,
    }
    impl From<RoleV1> for Role {
        fn from(old: RoleV1) -> Self {
            match old {
                RoleV1::Guest => Self::Guest,
                RoleV1::Admin => Self::Member { level: 9 },
            }
        }
    }
    assert_eq!(Role::decode(&stored(&RoleV1::Guest)), Ok(Role::Guest));
    assert_eq!(Role::decode(&stored(&RoleV1::Admin)), Ok(Role::Member { level: 9 }));
}

/// Their fingerprints are those of what they wrap, so the version alone tells them apart.
#[test]
fn transparent_types_are_told_apart_by_their_version() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Celsius")]
    #[serde(transparent)]
    struct Tenths(i32);
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Celsius", version = 2, from = Tenths)]
    #[serde(transparent)]
    struct Hundredths(i32);
    impl From<Tenths> for Hundredths {
        fn from(old: Tenths) -> Self {
            Self(old.0 * 10)
        }
    }
    assert_eq!(Tenths::FINGERPRINT, Hundredths::FINGERPRINT);
    assert_eq!(Hundredths::decode(&stored(&Tenths(215))), Ok(Hundredths(2150)));
    assert_eq!(round_trip(&Hundredths(215)), Hundredths(215));
    let newer = DecodeError::NewerVersion { type_name: "Celsius", found: 2, known: 1 };
    assert_eq!(read_as::<Tenths>(&stored(&Hundredths(215))), newer);
}

#[test]
fn a_version_is_a_part_of_the_fingerprint_and_version_1_is_the_default() {
    mod one {
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
        #[kvsd(version = 1)]
        pub(super) struct T(u8);
    }
    mod two {
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
        #[kvsd(version = 2)]
        pub(super) struct T(u8);
    }
    #[derive(Serialize, Deserialize, kvsd::Value)]
    struct T(u8);
    assert_eq!(T::FINGERPRINT, one::T::FINGERPRINT);
    assert_ne!(T::FINGERPRINT, two::T::FINGERPRINT);
}

#[test]
fn the_layout_is_frozen_at_what_it_is() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(freeze = 0x5060_fcdb_8766_0aef)]
    struct T(u8, String);
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    #[kvsd(name = "T", freeze = 0x5060_fcdb_8766_0aef)]
    struct Borrowed<'a>(u8, &'a str);
    assert_eq!(T::FINGERPRINT, 0x5060_fcdb_8766_0aef);
    assert_eq!(Borrowed::FINGERPRINT, T::FINGERPRINT);
    assert_eq!(round_trip(&T(1, "x".to_owned())), T(1, "x".to_owned()));
}

#[test]
fn a_renamed_field_is_read_where_its_older_layout_is_accepted() {
    mod before {
        #[derive(Debug, serde::Serialize, serde::Deserialize, kvsd::Value)]
        #[kvsd(freeze = 0xe452_822c_c74c_91cd)]
        pub(super) struct User {
            pub(super) name: String,
        }
        #[derive(Debug, serde::Serialize, serde::Deserialize, kvsd::Value)]
        #[kvsd(name = "User", version = 2)]
        pub(super) struct Later {
            pub(super) name: String,
        }
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(accept = [1, 0xe452_822c_c74c_91cd])]
    struct User {
        full_name: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "User")]
    struct Strict {
        full_name: String,
    }

    let old = stored(&before::User { name: "Ada".to_owned() });
    assert_eq!(User::decode(&old), Ok(User { full_name: "Ada".to_owned() }));
    assert!(matches!(read_as::<Strict>(&old), DecodeError::OtherLayout { version: 1, .. }));
    // What is accepted changes nothing of what is written.
    let new = stored(&User { full_name: "Ada".to_owned() });
    assert_eq!(Strict::decode(&new), Ok(Strict { full_name: "Ada".to_owned() }));

    // It is for layouts of the same version; another version has its own type.
    let mut later = stored(&before::Later { name: "Ada".to_owned() });
    later[5..13].copy_from_slice(&0xe452_822c_c74c_91cd_u64.to_le_bytes());
    assert!(matches!(read_as::<User>(&later), DecodeError::NewerVersion { .. }));
}

#[test]
fn a_type_without_serialize_reads_and_an_old_one_is_written_by_nobody() {
    #[derive(Debug, PartialEq, Deserialize, kvsd::Value)]
    #[kvsd(name = "Pair")]
    struct ReadOnly(u8, u8);
    #[derive(Serialize, Deserialize, kvsd::Value)]
    struct Pair(u8, u8);
    assert_eq!(ReadOnly::decode(&stored(&Pair(1, 2))), Ok(ReadOnly(1, 2)));
    let too_large: Result<_, EncodeError> = kvsd::value::encode_to_bytes(&Pair(1, 2), 3);
    assert_eq!(too_large, Err(EncodeError::TooLarge { limit: 3 }));
}
