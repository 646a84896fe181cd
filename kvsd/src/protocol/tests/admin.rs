//! The administrator's messages: their bytes, which never change, and what is refused.

use bytes::BytesMut;

use super::{decoder, whole};
use crate::protocol::admin::{Reply, Request};
use crate::protocol::frame::FieldError;
use crate::protocol::v2::{FailCode, RequestId};

fn id(number: u64) -> RequestId {
    RequestId::new(number).unwrap()
}

#[test]
fn every_request_has_its_golden_bytes() {
    for (request, bytes) in [
        (Request::Backup { name: "2026-11-22" }, &b"*3\r\n#B:7\r\n+2026-11-22\r\n"[..]),
        (Request::Progress, b"*2\r\n#P:7\r\n"),
    ] {
        let mut out = BytesMut::new();
        request.encode(id(7), &mut out);
        assert_eq!(out, bytes, "{}", out.escape_ascii());
        whole(&mut decoder(), bytes, |message| {
            assert_eq!(Request::parse(message), Ok((id(7), Some(request))));
        });
    }
}

#[test]
fn every_reply_has_its_golden_bytes() {
    let fail = Reply::Fail { code: FailCode::Busy, message: "later" };
    for (id, reply, bytes) in [
        (
            Some(id(7)),
            Reply::Made { tables: 2, files: 9, bytes: 1234 },
            &b"*5\r\n#b:7\r\n:2\r\n:9\r\n:1234\r\n"[..],
        ),
        (Some(id(8)), Reply::Progress { done: 5, total: 10 }, b"*4\r\n#p:8\r\n:5\r\n:10\r\n"),
        (Some(id(7)), fail, b"*4\r\n#f:7\r\n+BUSY\r\n+later\r\n"),
        (None, fail, b"*4\r\n#f|+BUSY\r\n+later\r\n"),
    ] {
        let mut out = BytesMut::new();
        reply.encode(id, &mut out);
        assert_eq!(out, bytes, "{}", out.escape_ascii());
        whole(&mut decoder(), bytes, |message| {
            assert_eq!(Reply::parse(message), Ok((id, Some(reply))));
        });
    }
}

#[test]
fn surplus_frames_of_a_request_are_refused_and_those_of_a_reply_skipped() {
    let refused = |bytes: &'static [u8]| whole(&mut decoder(), bytes, |m| Request::parse(m).err());
    let seven = Some(id(7));
    assert_eq!(refused(b"*3\r\n#P:7\r\n:1\r\n"), Some((seven, FieldError::TooMany)));
    assert_eq!(refused(b"*4\r\n#B:7\r\n+a\r\n|"), Some((seven, FieldError::TooMany)));
    assert!(matches!(refused(b"*2\r\n#B:7\r\n"), Some((Some(_), FieldError::Missing { .. }))));
    assert!(matches!(refused(b"*2\r\n#P:-1\r\n"), Some((None, FieldError::OutOfRange { .. }))));
    assert!(matches!(refused(b"*1\r\n#P"), Some((None, FieldError::Missing { .. }))));
    whole(&mut decoder(), b"*2\r\n#X:7\r\n", |message| {
        assert_eq!(Request::parse(message), Ok((id(7), None)));
    });
    whole(&mut decoder(), b"*5\r\n#p:7\r\n:1\r\n:2\r\n:3\r\n", |message| {
        let progress = Reply::Progress { done: 1, total: 2 };
        assert_eq!(Reply::parse(message), Ok((seven, Some(progress))));
    });
    whole(&mut decoder(), b"*4\r\n#p:7\r\n:-1\r\n:2\r\n", |message| {
        assert!(matches!(Reply::parse(message), Err(FieldError::OutOfRange { .. })));
    });
}
