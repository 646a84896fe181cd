//! The one door to etcd: its members, and calls to them that end in time.
//!
//! Each member has connections of its own, because a balancer would go on asking one that is paused
//! or cut off. A call goes to the member that served last; when that fails in a way that another
//! member may not, the next one is asked, until the call's time is over. So everything that goes
//! through [`Link::call`] may be carried out more than once: it must be built so that this does no
//! harm. Next file to read: `once`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::proto::{PbTxnOpResponse, PbTxnResponse};
use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, KvClient, TlsOptions, Txn, TxnOp, TxnResponse,
    WatchClient,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::EtcdConfig;
use super::error::{EtcdError, Fault};
use super::layout::Layout;
use super::pulse::Pulse;

/// The members of a cluster.
pub(crate) struct Link {
    members: Vec<Member>,
    /// Which cluster it is: another one after a restore under a new token.
    cluster: u64,
    /// The member that has served last.
    preferred: AtomicUsize,
    timeout: Duration,
    pulse: Pulse,
}

struct Member {
    endpoint: String,
    led: Lazy,
    any: Lazy,
}

/// Connections to a member, made when they are first needed.
struct Lazy {
    options: ConnectOptions,
    door: Mutex<Option<Arc<Door>>>,
}

/// A way into one member.
#[derive(Clone)]
pub(crate) struct Door {
    client: Client,
    kv: KvClient,
    watch: WatchClient,
}

/// Whom a call may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A member that knows a leader.
    Led,
    /// Any, even one that is cut off: for what may be stale.
    Any,
}

/// Why a call has failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// What went wrong last.
    pub(crate) fault: Fault,
    /// Whether one of the attempts may have been carried out, or may still be.
    pub(crate) in_doubt: bool,
}

impl Door {
    pub(crate) fn kv(&self) -> KvClient {
        self.kv.clone()
    }

    pub(crate) fn watch(&self) -> WatchClient {
        self.watch.clone()
    }

    /// Leases, and what a member tells of itself.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }
}

impl Link {
    /// Prepares the connections, and waits until one member answers.
    pub(crate) async fn open(config: &EtcdConfig) -> Result<Self, EtcdError> {
        let options = options(config)?;
        let member = |endpoint: &String| Member {
            endpoint: endpoint.clone(),
            led: Lazy::new(options.clone().with_require_leader(true)),
            any: Lazy::new(options.clone()),
        };
        let mut link = Self {
            cluster: 0,
            members: config.endpoints.iter().map(member).collect(),
            preferred: AtomicUsize::new(0),
            timeout: config.timeout,
            pulse: Pulse::new(),
        };
        if link.members.is_empty() {
            return Err(EtcdError::NoEndpoints);
        }
        // A linearizable read of a key that need not be there; below the prefix, for what is not may
        // be closed to us.
        let key = Layout::new(&config.prefix).election();
        let asked = link.call(link.deadline(), Ask::Led, |door| {
            let key = key.clone();
            async move { door.kv().get(key, None).await }
        });
        match asked.await {
            Ok(answer) => {
                link.cluster = answer.header().map_or(0, etcd_client::ResponseHeader::cluster_id);
                Ok(link)
            }
            Err(Failed { fault: Fault::Denied { cause }, .. }) => {
                Err(EtcdError::Denied { prefix: config.prefix.clone(), cause })
            }
            Err(Failed { fault: Fault::NoAccessControl, .. }) => Err(EtcdError::NoAccessControl),
            Err(Failed { fault, .. }) => {
                Err(EtcdError::Unavailable { timeout: config.timeout, cause: fault.to_string() })
            }
        }
    }

    /// When a call that begins now has to end.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// How calls went.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The number of the cluster that was there when the link was opened.
    pub(crate) fn cluster(&self) -> u64 {
        self.cluster
    }

    /// How many members there are.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    /// The endpoint of a member, by its number.
    pub(crate) fn endpoint(&self, member: usize) -> &str {
        self.members.get(member).map_or("", |member| &member.endpoint)
    }

    /// Asks one member after the other until one answers or refuses for good, or the time is over.
    ///
    /// # Cancel safety
    ///
    /// What was asked may be carried out even if the future is dropped.
    pub(crate) async fn call<T, F>(
        &self,
        deadline: Instant,
        ask: Ask,
        call: impl Fn(Arc<Door>) -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut in_doubt = false;
        let mut pause = FIRST_PAUSE;
        for attempt in 0.. {
            let at = (first + attempt) % self.members.len();
            let limit = deadline.min(Instant::now() + self.attempt_time());
            let fault = match self.call_member(at, limit, ask, &call).await {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    if ask == Ask::Led {
                        self.pulse.answered();
                    }
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            self.pulse.attempt_failed(&fault);
            in_doubt |= fault.leaves_doubt();
            let was_last = (attempt + 1) % self.members.len() == 0;
            let next = if was_last { Instant::now() + pause } else { Instant::now() };
            if !fault.may_pass() || next >= deadline {
                self.pulse.failed();
                return Err(Failed { fault, in_doubt });
            }
            self.pulse.retried();
            if was_last {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LAST_PAUSE);
            }
        }
        unreachable!("the loop has no end of its own")
    }

    /// Asks one member, once.
    pub(crate) async fn call_member<T, F>(
        &self,
        member: usize,
        deadline: Instant,
        ask: Ask,
        call: impl Fn(Arc<Door>) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let member = self.members.get(member).expect("callers count the members");
        let endpoint = &member.endpoint;
        let silent = |_| Fault::NoAnswer {
            endpoint: endpoint.clone(),
            cause: "nothing came in time".to_owned(),
        };
        let door = tokio::time::timeout_at(deadline, member.door(ask)).await.map_err(silent)??;
        let answer = tokio::time::timeout_at(deadline, call(door)).await.map_err(silent)?;
        answer.map_err(|error| Fault::of(error, endpoint))
    }

    /// Carries out a transaction that does no harm if it is carried out twice.
    pub(crate) async fn txn(&self, deadline: Instant, txn: &Txn) -> Result<TxnResponse, Failed> {
        self.call(deadline, Ask::Led, |door| async move { door.kv().txn(txn.clone()).await }).await
    }

    /// As [`Link::txn`], and etcd takes it even when it takes no more data: of what is put it counts the
    /// outermost list alone. For a few bytes, without which nobody could make room.
    pub(crate) async fn txn_into_full(
        &self,
        deadline: Instant,
        txn: Txn,
    ) -> Result<TxnResponse, Failed> {
        let TxnResponse(outer) =
            self.txn(deadline, &Txn::new().and_then([TxnOp::txn(txn)])).await?;
        let answer = outer.responses.into_iter().find_map(|op| match op.response? {
            PbTxnOpResponse::ResponseTxn(answer) => Some(answer),
            _ => None,
        });
        // Only the outermost one says how far the store is.
        let answer =
            answer.map(|answer| TxnResponse(PbTxnResponse { header: outer.header, ..answer }));
        answer.ok_or_else(|| Failed { fault: super::reply::in_part(), in_doubt: true })
    }

    /// A way into the member that has served last, for what keeps a connection: watches, leases.
    /// Whoever loses it calls [`Link::leave`] and asks again.
    pub(crate) async fn door(&self, deadline: Instant) -> Result<(usize, Arc<Door>), Fault> {
        let at = self.preferred.load(Ordering::Relaxed) % self.members.len();
        let member = &self.members[at];
        let silent = |_| Fault::NoAnswer {
            endpoint: member.endpoint.clone(),
            cause: "no connection in time".to_owned(),
        };
        let door = tokio::time::timeout_at(deadline, member.door(Ask::Led)).await;
        door.map_err(silent)?.map(|door| (at, door))
    }

    /// Asks another member first from now on, if this one is still the first.
    pub(crate) fn leave(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.preferred.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How long one member may take: short enough that another one can still be asked.
    fn attempt_time(&self) -> Duration {
        (self.timeout * 3 / 10).max(LEAST_ATTEMPT)
    }
}

impl Member {
    async fn door(&self, ask: Ask) -> Result<Arc<Door>, Fault> {
        let lazy = match ask {
            Ask::Led => &self.led,
            Ask::Any => &self.any,
        };
        let mut door = lazy.door.lock().await;
        if let Some(door) = &*door {
            return Ok(Arc::clone(door));
        }
        // Connects only where there is a password to check; the rest connects with its first call,
        // and again by itself whenever it has to.
        let client = Client::connect([&self.endpoint], Some(lazy.options.clone())).await;
        let client = client.map_err(|error| Fault::of(error, &self.endpoint))?;
        let kv = client.kv_client().max_decoding_message_size(LONGEST_ANSWER);
        let watch = client.watch_client().max_decoding_message_size(LONGEST_ANSWER);
        Ok(Arc::clone(door.insert(Arc::new(Door { client, kv, watch }))))
    }
}

impl Lazy {
    fn new(options: ConnectOptions) -> Self {
        Self { options, door: Mutex::new(None) }
    }
}

/// Shows the endpoints.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.endpoint)).finish()
    }
}

fn options(config: &EtcdConfig) -> Result<ConnectOptions, EtcdError> {
    let read = |file: &std::path::PathBuf| {
        std::fs::read(file).map_err(|source| EtcdError::File { file: file.clone(), source })
    };
    let mut options = ConnectOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_TIMEOUT)
        .with_auto_token_refresh(config.user.is_some());
    if let Some(user) = &config.user {
        options = options.with_user(&user.user, &user.password);
    }
    let is_tls = config.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"));
    if is_tls || config.ca.is_some() || config.identity.is_some() {
        let mut tls = TlsOptions::new();
        if let Some(ca) = &config.ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
        }
        if let Some(identity) = &config.identity {
            tls = tls.identity(Identity::from_pem(read(&identity.cert)?, read(&identity.key)?));
        }
        options = options.with_tls(tls);
    }
    Ok(options)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a member may be silent before it is asked whether it is there, and how long it has for
/// its answer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
const LEAST_ATTEMPT: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// The longest answer, in bytes: as many records as a read of ours may ask for at once.
const LONGEST_ANSWER: usize = 128 * 1024 * 1024;
