//! Tables: how they come and go, and that they are apart.

use super::*;

#[tokio::test]
async fn tables_are_apart_and_there_is_a_limit() {
    let disk = SimDisk::new(1);
    let config = LogConfig { max_tables: 3, ..LogConfig::new("/data") };
    let open = || {
        LogEngine::open_on(Arc::new(disk.clone()), config.clone(), TableOptions::default()).unwrap()
    };
    let engine = open();
    let names = ["a", "b", "c"].map(|name| TableName::parse(name).unwrap());
    for name in &names {
        let results = engine.write(name, vec![set(b"key", name.as_str().as_bytes())]).await;
        assert!(results[0].is_ok());
    }
    let results = engine.write(&table(), vec![set(b"key", b"")]).await;
    assert_eq!(results, [Err(EngineError::TooManyTables { limit: 3 })]);
    engine.close().await.unwrap();
    let engine = open();
    for name in &names {
        let record = engine.read(name.as_str(), b"key").await.unwrap().unwrap();
        assert_eq!(record.value, name.as_str());
    }
    assert_eq!(engine.read("other", b"key").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_many_make_at_once_is_made_once() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let writes = (0..32_u8).map(|key| write(&engine, set(&[key], &[key])).map(Result::unwrap));
    join_all(writes).await;
    engine.close().await.unwrap();
    let engine = open(&disk);
    for key in 0..32_u8 {
        assert_eq!(read(&engine, &[key]).await.unwrap(), [key][..]);
    }
}
