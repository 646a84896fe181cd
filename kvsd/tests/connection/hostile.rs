//! What a server that means harm can do to a client that was led to it: nothing but fail it.
//!
//! Next file to read: `requests`.

use crate::support::{builder, connected};
use kvsd::ErrorKind;
use kvsd::protocol::v2::FailCode;

const COMMANDS: &str = "\x1b]0;title\x07\x1b[2J\u{9b}2J\rfake \u{202e}line";
const SHOWN: &str = " ]0;title  [2J 2J fake  line";

#[tokio::test(start_paused = true)]
async fn a_server_that_announces_values_without_end_is_turned_down() {
    let (builder, mut server) = builder();
    let play = async {
        let mut session = server.arrival().await;
        session.hello().await;
        session.send(b"*5\r\n#h:0\r\n:2\r\n+max-value-bytes\r\n:9223372036854775807\r\n").await;
        session
    };
    let (connected, _session) = tokio::join!(builder.connect(), play);
    // A client that believed it would read a value of that size to its end, or its own.
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_to_a_request_cannot_command_a_terminal() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        session.request().await.unwrap();
        session.send(format!("*4\r\n#f:0\r\n+INVALID\r\n+{COMMANDS}\r\n").as_bytes()).await;
    };
    let (read, ()) = tokio::join!(client.exists("k"), play);
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(FailCode::Invalid));
    assert!(error.to_string().contains(SHOWN), "{error:?}");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_in_place_of_a_welcome_cannot_command_a_terminal() {
    let (builder, mut server) = builder();
    let play = async {
        let mut session = server.arrival().await;
        session.hello().await;
        session.send(format!("*4\r\n#f:0\r\n+BUSY\r\n+{COMMANDS}\r\n").as_bytes()).await;
        session
    };
    let (connected, _session) = tokio::join!(builder.connect(), play);
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(FailCode::Busy));
    assert!(error.to_string().contains(SHOWN), "{error:?}");
}
