//! Fingerprints: pinned, changed by what changes the stored form and by nothing else.

use kvsd::Layout;
use serde::{Deserialize, Serialize};

/// The fingerprint of a type declared on the spot, all of them named `T`.
macro_rules! fingerprint {
    ($($item:tt)*) => {{
        #[derive(Serialize, Deserialize, kvsd::Layout)]
        $($item)*
        T::FINGERPRINT
    }};
}

/// Stored values hold these: a change makes them unreadable.
#[test]
fn derived_fingerprints_are_pinned() {
    let unit = fingerprint!(
        struct T;
    );
    let tuple = fingerprint!(
        struct T(u8, String);
    );
    let named = fingerprint!(
        struct T {
            id: u64,
            #[serde(rename = "n")]
            name: Option<String>,
        }
    );
    let choice = fingerprint!(
        enum T {
            A,
            B(u8),
            C { x: i64 },
        }
    );
    let special = fingerprint!(
        struct T {
            #[serde(skip)]
            _a: u8,
            #[serde(with = "crate::layout::verbatim")]
            b: u8,
            #[kvsd(opaque)]
            c: Vec<u8>,
        }
    );
    let pinned = [
        0x28d8_9cdc_9663_2beb,
        0x5060_fcdb_8766_0aef,
        0xada5_a377_441a_46f3,
        0xfb31_0919_2f93_9c04,
        0xe922_68e5_8773_cb9d,
    ];
    assert_eq!([unit, tuple, named, choice, special], pinned);
}

#[test]
fn what_does_not_change_the_stored_form_does_not_change_the_fingerprint() {
    let plain = fingerprint!(
        struct T {
            first_name: String,
            b: Vec<u8>,
        }
    );
    let renamed = fingerprint!(
        struct T {
            #[serde(rename = "first_name")]
            a: String,
            b: Vec<u8>,
        }
    );
    let skipping = fingerprint!(
        struct T {
            first_name: String,
            #[serde(skip)]
            _cache: u8,
            b: Vec<u8>,
        }
    );
    let other_types = fingerprint!(
        struct T {
            first_name: Box<str>,
            b: std::collections::VecDeque<u8>,
        }
    );
    let qualified = fingerprint!(
        struct T {
            first_name: std::borrow::Cow<'static, str>,
            #[serde(default)]
            b: ::std::vec::Vec<u8>,
        }
    );
    assert_eq!([renamed, skipping, other_types, qualified], [plain; 4]);
}

#[test]
fn what_changes_the_stored_form_changes_the_fingerprint() {
    let all = [
        fingerprint!(
            struct T {
                a: u8,
                b: u8,
            }
        ),
        fingerprint!(
            struct T {
                b: u8,
                a: u8,
            }
        ),
        fingerprint!(
            struct T {
                a: u8,
                c: u8,
            }
        ),
        fingerprint!(
            struct T {
                a: u8,
                b: i8,
            }
        ),
        fingerprint!(
            struct T {
                a: u8,
                b: Option<u8>,
            }
        ),
        fingerprint!(
            struct T {
                a: u8,
            }
        ),
        fingerprint!(
            #[serde(rename_all = "UPPERCASE")]
            struct T {
                a: u8,
                b: u8,
            }
        ),
        fingerprint!(
            #[kvsd(name = "Other")]
            struct T {
                a: u8,
                b: u8,
            }
        ),
        fingerprint!(
            struct T(u8, u8);
        ),
        fingerprint!(
            struct T {
                a: u8,
                #[kvsd(opaque)]
                b: u8,
            }
        ),
        fingerprint!(
            struct T {
                a: u8,
                #[serde(with = "crate::layout::verbatim")]
                b: u8,
            }
        ),
        fingerprint!(
            enum T {
                A,
                B,
            }
        ),
        fingerprint!(
            enum T {
                B,
                A,
            }
        ),
        fingerprint!(
            enum T {
                A(),
                B,
            }
        ),
        fingerprint!(
            enum T {
                A {},
                B,
            }
        ),
        fingerprint!(
            enum T {
                A(u8),
                B,
            }
        ),
        fingerprint!(
            enum T {
                A { x: u8 },
                B,
            }
        ),
        fingerprint!(
            enum T {
                A,
                B(u8),
            }
        ),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_change_deep_inside_shows_at_the_top() {
    mod before {
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Layout)]
        pub(super) struct Inner(u8);
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Layout)]
        pub(super) struct Outer(Vec<Option<Inner>>);
    }
    mod after {
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Layout)]
        pub(super) struct Inner(u16);
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Layout)]
        pub(super) struct Outer(Vec<Option<Inner>>);
    }
    mod elsewhere {
        pub(super) mod deeper {
            #[derive(serde::Serialize, serde::Deserialize, kvsd::Layout)]
            pub(in super::super) struct Inner(u8);
        }
        #[derive(serde::Serialize, serde::Deserialize, kvsd::Layout)]
        pub(super) struct Outer(Vec<Option<deeper::Inner>>);
    }
    assert_ne!(before::Outer::FINGERPRINT, after::Outer::FINGERPRINT);
    // Module paths have no part in it.
    assert_eq!(before::Outer::FINGERPRINT, elsewhere::Outer::FINGERPRINT);
}

#[test]
fn generic_types_differ_by_their_parameters() {
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    struct Page<T> {
        items: Vec<T>,
    }
    assert_ne!(<Page<u8>>::FINGERPRINT, <Page<u16>>::FINGERPRINT);
    assert_eq!(<Page<&str>>::FINGERPRINT, <Page<String>>::FINGERPRINT);
}

#[test]
fn the_fewest_bytes_of_a_type_are_those_of_its_smallest_value() {
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    struct Fields {
        a: f64,
        b: (u8, String),
        #[serde(skip)]
        _c: u64,
    }
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    enum Choice {
        Large([f64; 4]),
        Small { a: f32 },
    }
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    struct Nothing;
    assert_eq!(Fields::MIN_BYTES, Ok(10));
    assert_eq!(Choice::MIN_BYTES, Ok(5));
    assert_eq!(Nothing::MIN_BYTES, Ok(0));
}

pub(crate) mod verbatim {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(number: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        number.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
        u8::deserialize(from)
    }
}
