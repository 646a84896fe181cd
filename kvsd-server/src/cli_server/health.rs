//! `kvsd-server health`: ask a running server how it is, for whatever watches over a container.
//!
//! One request to the address of the status page, as any probe would make it; nothing of the answer
//! is understood but whether it is good.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

use super::args::HealthArgs;
use super::exit::Failure;

/// Asks, and passes the answer on.
pub(super) fn run(args: HealthArgs) -> Result<(), Failure> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let said = ask(args.status, path).map_err(Failure::other)?;
    writeln!(io::stdout(), "{}", said.trim_end()).map_err(Failure::other)
}

/// The body of a good answer.
fn ask(address: SocketAddr, path: &str) -> Result<String, HealthError> {
    let fetch = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let question =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(question.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = fetch().map_err(|source| HealthError::Unreachable { address, source })?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(HealthError::Garbled { address })?;
    match head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        Some("200") => Ok(body.to_owned()),
        Some(_) => Err(HealthError::Unwell { said: body.trim().to_owned() }),
        None => Err(HealthError::Garbled { address }),
    }
}

/// Why the server is not well, as far as one can tell.
#[derive(Debug, Error)]
enum HealthError {
    #[error("nothing answers on {address}, where `status_listen` has a server say how it is")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error("{said}")]
    Unwell { said: String },
    #[error("what answers on {address} is no kvsd-server")]
    Garbled { address: SocketAddr },
}

/// Where a server that `kvsd-server init` has set up says how it is.
pub(super) const USUAL_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7380);
/// How long each step may take: a server that needs longer is not well.
const PATIENCE: Duration = Duration::from_secs(3);
/// Far more than any answer has, in bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    /// Asks somebody who answers so; the first line of what he was asked, too.
    fn answered(answer: &'static str) -> (Result<String, HealthError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut asked = String::new();
            stream.read_line(&mut asked).unwrap();
            let mut line = asked.clone();
            while !line.trim().is_empty() {
                line.clear();
                stream.read_line(&mut line).unwrap();
            }
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            asked
        });
        let said = ask(address, "/healthz");
        (said, server.join().unwrap())
    }

    #[test]
    fn only_a_good_answer_is_good() {
        let (said, asked) = answered("HTTP/1.1 200 OK\r\na: b\r\n\r\nok\n");
        assert_eq!((said.unwrap().as_str(), asked.as_str()), ("ok\n", "GET /healthz HTTP/1.1\r\n"));
        let error = answered("HTTP/1.1 503 No\r\n\r\ntable 1 is full\n").0.unwrap_err();
        assert_eq!(error.to_string(), "table 1 is full");
        for other in ["", "HTTP/1.1 200 OK", "SSH-2.0\r\n\r\n", "HTTP/1.1 20"] {
            let error = answered(other).0.unwrap_err();
            assert!(matches!(error, HealthError::Garbled { .. }), "{other}: {error}");
        }
    }

    #[test]
    fn nobody_there_is_not_well() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(ask(gone, "/healthz"), Err(HealthError::Unreachable { .. })));
    }
}
