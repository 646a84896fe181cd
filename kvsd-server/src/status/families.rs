//! The metrics: what each is called, and what it says.
//!
//! A name here never changes its meaning, and stands with its labels in `docs/metrics.md`, which a
//! test compares with this. Next file to read: `exposition`.

use super::text::{Family, Kind};

macro_rules! families {
    ($($name:ident: $kind:ident $metric:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $name: Family = Family {
            name: $metric, kind: Kind::$kind, labels: &[$($label),*], help: $help,
        };)*
        /// All of them.
        #[cfg(test)]
        pub(super) static ALL: &[&Family] = &[$(&$name),*];
    };
}

families! {
    BUILD: Gauge "kvsd_build_info" ["version", "engine", "durability"]
        "Always 1; the labels say what runs.";
    READY: Gauge "kvsd_ready" []
        "1 while the server serves clients and its engine can serve, 0 before, after and otherwise.";
    DEGRADED: Gauge "kvsd_degraded" []
        "1 while something is wrong with the engine that somebody should look at, else 0.";
    OPENED: Gauge "kvsd_opening_tables_done" [] "Tables that have been opened since the start.";
    TO_OPEN: Gauge "kvsd_opening_tables" [] "Tables that were to be opened at the start.";

    REQUESTS: Counter "kvsd_requests_total" ["operation", "outcome"]
        "Requests that were answered. A batch or a pipeline is one.";
    REQUEST_SECONDS: Histogram "kvsd_request_seconds" ["operation"]
        "From taking a request on to its answer, in seconds. Watches are not timed.";
    IN_FLIGHT: Gauge "kvsd_requests_in_flight" [] "Requests that wait for the engine, watches aside.";
    SLOW: Counter "kvsd_slow_requests_total" []
        "Requests that took as long as slow_request or longer.";
    RECEIVED: Counter "kvsd_received_bytes_total" [] "Bytes that clients have sent, without TLS.";
    SENT: Counter "kvsd_sent_bytes_total" [] "Bytes that clients were sent, without TLS.";

    CONNECTIONS: Gauge "kvsd_connections" [] "Connections that are open.";
    MOST_CONNECTIONS: Gauge "kvsd_connections_limit" [] "Connections that may be open at once.";
    ACCEPTED: Counter "kvsd_connections_accepted_total" [] "Connections that were accepted.";
    LOGINS: Counter "kvsd_logins_total" [] "Clients that were let in.";
    REFUSALS: Counter "kvsd_refusals_total" ["reason"]
        "Connections and requests that were refused.";
    CONNECTION_MEMORY: Gauge "kvsd_connection_memory_bytes" []
        "Memory that all connections hold.";

    TABLES: Gauge "kvsd_tables" [] "Tables.";
    STOPPED_TABLES: Gauge "kvsd_tables_stopped" [] "Tables that take no writes since a failure.";
    KEYS: Gauge "kvsd_keys" [] "Keys of all tables.";
    LIVE: Gauge "kvsd_live_bytes" [] "Bytes of the records that keys have now, of all tables.";
    DEAD: Gauge "kvsd_dead_bytes" [] "Bytes that compaction can free, of all tables.";
    DISK: Gauge "kvsd_disk_bytes" [] "Bytes that the files of all tables take.";
    QUEUED: Gauge "kvsd_write_queue_depth" []
        "Submissions of writes that wait for their tables, of all tables.";
    TABLE_KEYS: Gauge "kvsd_table_keys" ["table"] "Keys, of the 50 largest tables.";
    TABLE_LIVE: Gauge "kvsd_table_live_bytes" ["table"]
        "Bytes of the records that keys have now, of the 50 largest tables.";
    TABLE_DEAD: Gauge "kvsd_table_dead_bytes" ["table"]
        "Bytes that compaction can free, of the 50 largest tables.";
    TABLE_DISK: Gauge "kvsd_table_disk_bytes" ["table"]
        "Bytes that the files take, of the 50 largest tables.";
    INDEX: Gauge "kvsd_index_bytes" [] "Memory that says where records are.";
    CACHE: Gauge "kvsd_cache_bytes" [] "Memory that the records in the cache take.";
    CACHE_HITS: Counter "kvsd_cache_hits_total" [] "Records that were found in the cache.";
    CACHE_MISSES: Counter "kvsd_cache_misses_total" []
        "Records that were looked for in the cache in vain.";

    GROUPS: Histogram "kvsd_commit_group_writes" []
        "Writes that were committed together, group by group.";
    SYNCS: Histogram "kvsd_sync_seconds" [] "How long syncs of the log took, in seconds.";
    COMPACTIONS: Counter "kvsd_compactions_total" ["outcome"] "Compactions that have ended.";
    COMPACTING: Gauge "kvsd_compactions_running" [] "Compactions that run now.";
    COMPACTION_SECONDS: Counter "kvsd_compaction_seconds_total" []
        "How long compactions took, their rests included, in seconds.";
    COMPACTION_READ: Counter "kvsd_compaction_read_bytes_total" []
        "Bytes of the files that compactions have replaced.";
    COMPACTION_WRITTEN: Counter "kvsd_compaction_written_bytes_total" []
        "Bytes of the files that compactions have written.";

    STORE_MEMBERS: Gauge "kvsd_store_members" []
        "Members of the etcd cluster that are known here.";
    STORE_REACHABLE: Gauge "kvsd_store_members_reachable" []
        "Members of the etcd cluster that answer.";
    STORE_LEADER: Gauge "kvsd_store_has_leader" []
        "1 while a member of the etcd cluster knows a leader.";
    STORE_BYTES: Gauge "kvsd_store_bytes" []
        "Bytes of the database of the largest etcd member.";
    STORE_CALLS: Counter "kvsd_store_calls_total" ["outcome"]
        "Calls to the etcd cluster.";
    STORE_RETRIES: Counter "kvsd_store_retries_total" []
        "Attempts beyond the first of a call to the etcd cluster.";
    FRONT_ENDS: Gauge "kvsd_front_ends" []
        "Front ends on the etcd cluster, this one included.";
    SKEW: Gauge "kvsd_clock_skew_seconds" []
        "How far the clock of another front end is away at most.";
    CARETAKER: Gauge "kvsd_caretaker" []
        "1 while this front end takes care of expiry and history.";
    SWEPT: Counter "kvsd_swept_records_total" []
        "Ended records that this front end has removed from etcd.";
    CLEARED: Counter "kvsd_cleared_records_total" []
        "Records of dropped tables that this front end has removed from etcd.";
    HISTORY: Counter "kvsd_history_compactions_total" []
        "How often this front end has compacted the history of etcd.";

    STARTED: Gauge "process_start_time_seconds" []
        "When the process began to serve, in seconds since 1970.";
    CPU: Counter "process_cpu_seconds_total" [] "Processor time, system calls included.";
    RESIDENT: Gauge "process_resident_memory_bytes" [] "Resident memory.";
    VIRTUAL: Gauge "process_virtual_memory_bytes" [] "Virtual memory.";
    DESCRIPTORS: Gauge "process_open_fds" [] "Open file descriptors.";
    MOST_DESCRIPTORS: Gauge "process_max_fds" [] "Limit of open file descriptors, if there is one.";
    THREADS: Gauge "process_threads" [] "Threads.";
}
