//! The data folder: its lock, its modes, and the end of an engine.

use super::*;

#[tokio::test]
async fn a_closed_engine_refuses_everything_and_lets_go_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    version_of(&engine, set(b"a", b"1")).await;
    let second = LogEngine::open(LogConfig::new(folder.path())).map(drop);
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    engine.close().await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(write(&engine, set(b"a", b"2")).await, Err(EngineError::Closed));
    assert_eq!(engine.read("default", b"a", Freshness::Latest).await, Err(EngineError::Closed));
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    assert_eq!(read(&engine, b"a").await.unwrap(), "1");
}

#[tokio::test]
async fn only_the_owner_can_enter_the_folders_and_open_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let engine = LogEngine::open(LogConfig::new(&data)).unwrap();
    version_of(&engine, set(b"a", b"1")).await;
    let mut pending: Vec<PathBuf> = vec![data];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            pending.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 4, "lock, catalog, manifest, segment");
}
