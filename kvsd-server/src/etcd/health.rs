//! What is wrong with etcd now, as far as it is seen from here.
//!
//! A task asks for something cheap whenever nothing else has been answered for a second, and each
//! member from time to time how it is. Who asks for the health is told what was known last.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::error::Fault;
use super::layout::Layout;
use super::link::{Ask, Door, Link};
use super::presence::{Others, Skew};
use crate::engine::Health;

/// Watches over the cluster.
pub(crate) struct Watchman {
    shared: Arc<Shared>,
    closed: watch::Sender<bool>,
}

struct Shared {
    link: Arc<Link>,
    layout: Layout,
    others: Arc<Others>,
    survey: Mutex<Survey>,
}

/// How the members were when they were asked last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    /// When all had been asked.
    at: Option<Instant>,
    /// In the order of the endpoints.
    members: Vec<Result<MemberState, Fault>>,
}

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberState {
    /// Whether it knows a leader.
    knows_leader: bool,
    /// Whether it knows of a space alarm.
    is_full: bool,
    /// The size of its database.
    bytes: u64,
    /// The cluster that it belongs to.
    cluster: u64,
}

/// What may be wrong, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Silent,
    Stranger,
    Full,
    Member,
    Clock,
}

impl Survey {
    /// Members that answer.
    pub(crate) fn reachable(&self) -> usize {
        self.members.iter().flatten().count()
    }

    /// Whether a member knows a leader.
    pub(crate) fn knows_leader(&self) -> bool {
        self.members.iter().flatten().any(|member| member.knows_leader)
    }

    /// The size of the largest database.
    pub(crate) fn bytes(&self) -> u64 {
        self.members.iter().flatten().map(|member| member.bytes).max().unwrap_or_default()
    }
}

impl Watchman {
    /// Starts on the runtime that this is called in.
    pub(crate) fn start(link: Arc<Link>, layout: Layout, others: Arc<Others>) -> Self {
        let shared = Arc::new(Shared { link, layout, others, survey: Mutex::default() });
        let closed = watch::Sender::new(false);
        let mut ends = closed.subscribe();
        let watching = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                _ = ends.wait_for(|closed| *closed) => {}
                () = watching.watch() => {}
            }
        });
        Self { shared, closed }
    }

    /// What is known.
    pub(crate) fn health(&self) -> Health {
        match self.shared.trouble() {
            None => Health::Ready,
            Some((Trouble::Silent | Trouble::Stranger, reason)) => Health::NotReady { reason },
            Some((Trouble::Full | Trouble::Member | Trouble::Clock, reason)) => {
                Health::Degraded { reason }
            }
        }
    }

    /// How the members were when they were asked last.
    pub(crate) fn survey(&self) -> Survey {
        self.shared.survey().clone()
    }

    /// Ends the task. Calling it again does nothing.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// The task ends with the engine, closed or not.
impl Drop for Watchman {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Watchman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchman").field("survey", &*self.shared.survey()).finish_non_exhaustive()
    }
}

impl Shared {
    async fn watch(&self) {
        let mut last = None;
        let watching = async {
            let mut every = interval(PROBE_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                if self.link.pulse().silence().0 >= PROBE_EVERY {
                    self.probe().await;
                }
                let now = self.trouble();
                let kind = now.as_ref().map(|(trouble, _)| *trouble);
                if kind != last {
                    match &now {
                        Some((_, reason)) => warn!(%reason, "etcd needs somebody to look"),
                        None => info!("etcd is well again"),
                    }
                }
                last = kind;
            }
        };
        let surveying = async {
            let mut every = interval(SURVEY_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut outdated = HashSet::new();
            loop {
                every.tick().await;
                for (endpoint, version) in self.ask_members().await {
                    if is_outdated(&version) && outdated.insert((endpoint.clone(), version.clone()))
                    {
                        warn!(
                            endpoint,
                            version,
                            "this etcd refuses reads when it is full; use 3.4.23, 3.5.7 or later"
                        );
                    }
                }
            }
        };
        tokio::join!(watching, surveying);
    }

    /// A linearizable read of a key that need not be there.
    async fn probe(&self) {
        let key = self.layout.election();
        let get = |door: Arc<Door>| {
            let key = key.clone();
            async move { door.kv().get(key, None).await }
        };
        // What became of it the link knows.
        let _ = self.link.call(Instant::now() + PROBE_TIME, Ask::Led, get).await;
    }

    /// Asks each member how it is; the answer is which versions they have.
    async fn ask_members(&self) -> Vec<(String, String)> {
        let begun = Instant::now();
        let ask = |member| {
            let status = |door: Arc<Door>| async move { door.client().status().await };
            self.link.call_member(member, begun + SURVEY_TIME, Ask::Any, status)
        };
        let answers = join_all((0..self.link.members()).map(ask)).await;
        let versions = answers.iter().enumerate().filter_map(|(member, answer)| {
            let version = answer.as_ref().ok()?.version().to_owned();
            Some((self.link.endpoint(member).to_owned(), version))
        });
        let versions = versions.collect();
        let members = answers.into_iter().map(|answer| {
            answer.map(|status| MemberState {
                cluster: status.header().map_or(0, etcd_client::ResponseHeader::cluster_id),
                knows_leader: status.leader() != 0,
                is_full: status.errors().iter().any(|error| error.contains("NOSPACE")),
                bytes: u64::try_from(status.db_size()).unwrap_or_default(),
            })
        });
        let members = members.collect();
        *self.survey() = Survey { at: Some(begun), members };
        versions
    }

    /// What is wrong, the worst of it, and what to do.
    fn trouble(&self) -> Option<(Trouble, String)> {
        let survey = self.survey().clone();
        let (silence, fault) = self.link.pulse().silence();
        if let Some(fault) = fault.filter(|_| silence >= SILENCE) {
            let (up, all) = (survey.reachable(), self.link.members());
            let reason = format!(
                "etcd has served nothing for {} s ({up} of {all} members answer): {fault}; \
                 bring a majority of the members back, see docs/etcd.md",
                silence.as_secs()
            );
            return Some((Trouble::Silent, reason));
        }
        for (member, state) in survey.members.iter().enumerate() {
            if state.as_ref().is_ok_and(|state| state.cluster != self.link.cluster()) {
                let reason = format!(
                    "the etcd member {} is of another cluster than the one that this server has \
                     begun with: restart it if the cluster was restored, and correct etcd_endpoints \
                     if not",
                    self.link.endpoint(member)
                );
                return Some((Trouble::Stranger, reason));
            }
        }
        let is_full = survey.members.iter().flatten().any(|member| member.is_full);
        if is_full || self.link.pulse().is_full_since(survey.at) {
            return Some((Trouble::Full, Fault::SpaceAlarm.to_string()));
        }
        for (member, state) in survey.members.iter().enumerate() {
            let endpoint = self.link.endpoint(member);
            let wrong = match state {
                Ok(MemberState { knows_leader: true, .. }) => continue,
                Ok(_) => format!("the etcd member {endpoint} is cut off from the others"),
                Err(fault) => format!("of the etcd members, {fault}"),
            };
            let reason = format!("{wrong}; bring it back, see docs/etcd.md");
            return Some((Trouble::Member, reason));
        }
        self.others.skew().map(|Skew { address, ahead_millis }| {
            let reason = format!(
                "the clock of the front end {address} is {ahead_millis} ms ahead of the clock \
                 here; set both by NTP, see docs/etcd.md"
            );
            (Trouble::Clock, reason)
        })
    }

    fn survey(&self) -> MutexGuard<'_, Survey> {
        self.survey.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a version is older than those that read in a full store, and take a read that is given up.
fn is_outdated(version: &str) -> bool {
    let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some([3, 4, patch]) => *patch < 23,
        Some([3, 5, patch]) => *patch < 7,
        Some([major, minor, _]) => (*major, *minor) < (3, 4),
        _ => false,
    }
}

const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIME: Duration = Duration::from_millis(1500);
const SURVEY_EVERY: Duration = Duration::from_secs(3);
const SURVEY_TIME: Duration = Duration::from_secs(1);
/// How long nothing may be answered before the engine is not ready.
const SILENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use etcd_client::{AlarmAction, AlarmType};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::etcd::EtcdConfig;
    use crate::etcd::changes::tests::fixture::{PATIENCE, Store};
    use crate::etcd::cluster::{Cluster, Options};

    async fn until(watchman: &Watchman, so: impl Fn(&Health) -> bool) -> Health {
        let waiting = async {
            loop {
                let health = watchman.health();
                if so(&health) {
                    return health;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("still {:?}", watchman.health()))
    }

    async fn surveyed(watchman: &Watchman) {
        until(watchman, |_| watchman.survey().at.is_some()).await;
    }

    #[tokio::test]
    async fn a_cluster_that_is_gone_is_not_ready_and_recovers() {
        let Some(mut store) = Store::start().await else { return };
        let others = Arc::default();
        let watchman = Watchman::start(store.link().await, store.layout.clone(), others);
        surveyed(&watchman).await;
        assert_eq!(watchman.health(), Health::Ready);
        store.cluster.kill(0);
        let health = until(&watchman, |health| matches!(health, Health::NotReady { .. })).await;
        let Health::NotReady { reason } = health else { unreachable!() };
        assert!(
            reason.contains("of 1 members answer") && reason.contains("docs/etcd.md"),
            "{reason}"
        );
        store.cluster.restart(0).await;
        store.cluster.ready().await;
        until(&watchman, |health| *health == Health::Ready).await;
    }

    #[test]
    fn versions_that_do_not_read_in_a_full_store_are_outdated() {
        for old in ["3.4.22", "3.5.0", "3.5.6", "3.3.27", "2.3.8"] {
            assert!(is_outdated(old), "{old}");
        }
        for fine in ["3.4.23", "3.4.30", "3.5.7", "3.6.0", "4.0.0", "3.6.0-rc.1", "", "new"] {
            assert!(!is_outdated(fine), "{fine}");
        }
    }

    #[tokio::test]
    async fn members_of_two_clusters_are_not_ready() {
        let Some(cluster) = Cluster::start(1).await else { return };
        let Some(other) = Cluster::start(1).await else { return };
        let endpoints = [&cluster, &other].map(|one| format!("http://{}", one.endpoint(0)));
        let config = EtcdConfig::new(endpoints.into());
        let link = Arc::new(Link::open(&config).await.unwrap());
        let watchman = Watchman::start(link, Layout::new("kvsd"), Arc::default());
        let health = until(&watchman, |health| *health != Health::Ready).await;
        let Health::NotReady { reason } = health else { panic!("{health:?}") };
        let named = other.endpoint(0);
        assert!(reason.contains(&named) && reason.contains("another cluster"), "{reason}");
    }

    #[tokio::test]
    async fn a_space_alarm_degrades_until_it_is_disarmed() {
        let options = Options::members(1).quota(16 * 1024 * 1024);
        let Some(cluster) = Cluster::start_with(options).await else { return };
        let mut store = Store::of(cluster).await.unwrap();
        let watchman = Watchman::start(store.link().await, store.layout.clone(), Arc::default());
        surveyed(&watchman).await;
        store.client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
        let health = until(&watchman, |health| *health != Health::Ready).await;
        let Health::Degraded { reason } = health else { panic!("{health:?}") };
        assert!(reason.contains("space quota"), "{reason}");
        store.client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await.unwrap();
        until(&watchman, |health| *health == Health::Ready).await;
    }
}
