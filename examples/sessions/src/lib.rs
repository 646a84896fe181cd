//! An axum service that keeps its sessions in kvsd: they outlive a restart of the service, all its
//! instances share them, and each ends half an hour after it was last used.
//!
//! | request | does | answers |
//! |---|---|---|
//! | `POST /login`, a form with `user` | begins a session | 204 and the cookie |
//! | `GET /` | uses the session | 200, or 401 without one |
//! | `POST /logout` | ends the session | 204, whether there was one or not |

use axum::Router;
use axum::extract::{Form, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kvsd::{Client, Keyed, Outcome};
use serde::{Deserialize, Serialize};

/// What the service knows about whoever holds the id.
///
/// Who can read the table can take over its sessions; where that matters, keep them under a hash of
/// the id.
#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "sessions", key = "session/{id}", ttl = "30m")]
pub struct Session {
    /// 128 bits that nobody can guess.
    pub id: u128,
    /// Who logged in.
    pub user: String,
}

/// The service. A client is cheap to clone, and the clones that axum hands to its handlers share
/// one pool of connections.
pub fn service(sessions: Client) -> Router {
    Router::new()
        .route("/", get(greet))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .with_state(sessions)
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

/// A real service asks for a password here, too.
async fn log_in(
    State(sessions): State<Client>,
    Form(Login { user }): Form<Login>,
) -> Result<impl IntoResponse, Failure> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(Failure::Random)?;
    let session = Session { id: u128::from_le_bytes(id), user };
    // It ends as its type says. If this fails although it was stored, nobody learns its id.
    sessions.put(&session).if_absent().await?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie(&format!("{:032x}", session.id)))]))
}

async fn greet(State(sessions): State<Client>, headers: HeaderMap) -> Result<String, Failure> {
    let id = session_id(&headers).ok_or(Failure::NoSession)?;
    // Read, and given another half an hour, with one message there and back.
    let session = sessions.renew(Session::key_of(id)).await?.ok_or(Failure::NoSession)?;
    Ok(format!("hello, {}\n", session.user))
}

async fn log_out(
    State(sessions): State<Client>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Failure> {
    if let Some(id) = session_id(&headers) {
        sessions.remove(Session::key_of(id)).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie("; Max-Age=0"))]))
}

/// Behind TLS it says `Secure`, too.
fn cookie(value: &str) -> String {
    format!("session={value}; Path=/; HttpOnly; SameSite=Lax")
}

/// The id that the browser sends, if it is one.
fn session_id(headers: &HeaderMap) -> Option<u128> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).map(str::trim);
    let id = cookies.find_map(|cookie| cookie.strip_prefix("session="))?;
    u128::from_str_radix(id, 16).ok()
}

/// Why a request was not served.
#[derive(Debug)]
enum Failure {
    NoSession,
    Store(kvsd::Error),
    Random(getrandom::Error),
}

impl From<kvsd::Error> for Failure {
    fn from(error: kvsd::Error) -> Self {
        Self::Store(error)
    }
}

/// What went wrong is for the log. It holds neither keys nor values, so no id gets there.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NoSession => (StatusCode::UNAUTHORIZED, "log in first\n").into_response(),
            Self::Store(error) => {
                eprintln!("store: {error:#}");
                match error.is_retryable() || error.outcome() == Outcome::Unknown {
                    true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                    false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                }
            }
            Self::Random(error) => {
                eprintln!("no random id: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
