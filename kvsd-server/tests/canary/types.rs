//! What `Debug` shows of the public types that hold a secret, a key or a value.

use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use kvsd::protocol::frame::{Decoder, FrameWriter};
use kvsd::protocol::v1;
use kvsd::protocol::v2::hello::Credentials;
use kvsd::protocol::v2::part::{Assembler, Cutter, Sender};
use kvsd::protocol::v2::{
    self, Action, Change, Condition, Detail, Freshness, Hello, Order, Previous, Reply, Request,
    RequestId, Scan, Select, Watch,
};
use kvsd::{Client, KeyRange};
use kvsd_server::users::{Grants, Password, StoredHash, UserName, Users};

use crate::told::{KEY, PASSWORD, Told, VALUE};

pub(crate) fn show(told: &Told) {
    let (key, value) = (KEY.as_bytes(), VALUE.as_bytes());
    let (condition, expiry, previous) = (Condition::Any, None, Previous::Return);
    let table = "default";
    let set = Request::Set { table, key, value, condition, expiry, previous };
    let action = Action::Set { value, expiry };
    for request in [
        set.clone(),
        Request::Get { table, key, freshness: Freshness::Latest },
        Request::Exists { table, key, freshness: Freshness::Latest },
        Request::Lifetime { table, key, freshness: Freshness::Latest },
        Request::Delete { table, key, condition, previous },
        Request::Increment { table, key, by: 1, condition },
        Request::Expire { table, key, expiry, condition },
        Request::Batch { table, changes: vec![Change { key, condition, action }] },
        Request::Pipeline(vec![set]),
        Request::Scan(Scan {
            table,
            from: Bound::Included(key),
            to: Bound::Excluded(key),
            order: Order::default(),
            detail: Detail::Records,
            limit: None,
            freshness: Freshness::Latest,
            at: None,
        }),
        Request::Watch(Watch { table, since: None, wait_millis: 0, select: Select::Key(key) }),
        Request::Watch(Watch { table, since: None, wait_millis: 0, select: Select::Prefix(key) }),
    ] {
        told.shown(&request);
        let mut wire = BytesMut::new();
        request.encode(RequestId::ZERO, &mut wire);
        frames(&wire, told);
    }
    let credentials = Credentials { user: b"app", password: PASSWORD.as_bytes() };
    told.shown(&credentials);
    let hello = Hello { lowest: 2, highest: 2, credentials: Some(credentials) };
    told.shown(&hello);
    let mut wire = BytesMut::new();
    hello.encode(RequestId::ZERO, &mut wire);
    frames(&wire, told);
    told.shown(&v1::Request::Authenticate { user: b"app", password: PASSWORD.as_bytes() });
    told.shown(&v1::Request::Set { key, value });
    told.shown(&v1::Request::Get { key });
    told.shown(&v1::Request::Delete { key });
    told.shown(&v1::Reply::Success { value: Some(value) });
    told.shown(&Reply::Fail { code: v2::FailCode::Invalid, message: "of the server" });

    let mut cutter = Cutter::new(Sender::Server);
    cutter.push(RequestId::ZERO, Bytes::from(VALUE.repeat(10_000)));
    told.shown(&cutter);
    let mut wire = BytesMut::new();
    cutter.cut(&mut wire);
    told.shown(&cutter);
    let mut assembler = Assembler::new(Sender::Server, v2::limits(10 << 20));
    let mut decoder = Decoder::new(v2::limits(10 << 20));
    let part = decoder.decode(&wire).unwrap().unwrap();
    told.shown(&part);
    told.shown(&assembler.take(&part));
    told.shown(&assembler);

    let password = Password::new(PASSWORD.as_bytes().to_vec()).unwrap();
    let hash = StoredHash::of(&password).unwrap();
    told.shown(&password);
    let mut users = Users::default();
    users.add(UserName::parse("app").unwrap(), hash.clone(), Grants::default()).unwrap();
    told.add("Debug of a hash", format!("{hash:?} {users:?}"));
    told.shown(&KeyRange::from(KEY));
    told.shown(&Client::builder().credentials("app", PASSWORD));
    let url = format!("kvsd://app:{PASSWORD}@127.0.0.1:1/default");
    told.shown(&Client::builder().url(&url).unwrap());
}

/// What a message shows of itself, and what writes one.
fn frames(wire: &[u8], told: &Told) {
    let mut decoder = Decoder::new(v2::limits(10 << 20));
    let message = decoder.decode(wire).unwrap().unwrap();
    told.shown(&message);
    told.shown(&message.fields());
    let mut out = BytesMut::from(wire);
    told.shown(&FrameWriter::new(&mut out));
}
