//! What the example `import_packages` does, run from its own source over the sample of records.

#[path = "../examples/import_packages/packages.rs"]
mod packages;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use kvsd::Client;
use kvsd_server::Embedded;

use packages::Package;

fn sample() -> Vec<Package> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/packages.jsonl");
    packages::read(Path::new(file)).unwrap()
}

/// Verifies records and tells how many were right, and what stopped it.
async fn verify(client: &Client, records: &[Package]) -> (usize, Option<String>) {
    let right = Cell::new(0);
    let result = packages::verify(client, records, || right.set(right.get() + 1)).await;
    (right.get(), result.err().map(|error| error.to_string()))
}

#[test]
fn the_sample_covers_every_section_and_the_awkward_records() {
    let records = sample();
    let distinct = |part: fn(&Package) -> &String| -> usize {
        records.iter().map(part).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((records.len(), distinct(|record| &record.name)), (300, 300));
    assert_eq!(distinct(|record| &record.section), 58);
    assert!(records.iter().any(|record| record.homepage.is_none()));
    assert!(records.iter().any(|record| record.depends.is_empty()));
    assert!(records.iter().any(|record| record.depends.len() > 300));
    assert!(records.iter().any(|record| !record.summary.is_ascii()));
    assert!(records.iter().any(|record| record.download_bytes > u64::from(u32::MAX) / 4));
}

#[tokio::test]
async fn every_record_is_read_back_as_it_was_and_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let records = sample();
    let server = Embedded::open(folder.path()).await.unwrap();
    let client = server.client().await.unwrap();
    let stored = Cell::new(0);
    packages::store(&client, &records, || stored.set(stored.get() + 1)).await.unwrap();
    assert_eq!(stored.get(), records.len());
    assert_eq!(verify(&client, &records).await, (records.len(), None));
    client.close().await;
    server.close().await.unwrap();

    let server = Embedded::open(folder.path()).await.unwrap();
    let client = server.client().await.unwrap();
    assert_eq!(verify(&client, &records).await, (records.len(), None));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_record_and_a_changed_one_are_named() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let records = sample();
    packages::store(&client, &records, || {}).await.unwrap();

    let taken = &records[100].name;
    let record = client.take::<Package>(taken).await.unwrap().unwrap();
    assert_eq!(verify(&client, &records).await.1, Some(format!("{taken}: not found")));
    client.set(taken, &record).await.unwrap();
    assert_eq!(verify(&client, &records).await, (records.len(), None));

    let mut depends = record.depends.clone();
    depends.push("one-more".to_owned());
    client.set(taken, &Package { depends, ..record }).await.unwrap();
    let complaint = format!("{taken}: another record is stored");
    assert_eq!(verify(&client, &records).await.1, Some(complaint));
    server.close().await.unwrap();
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.jsonl");
    let record = serde_json::to_string(&sample()[0]).unwrap();
    std::fs::write(&file, format!("{record}\n{{\n")).unwrap();
    let error = packages::read(&file).unwrap_err().to_string();
    assert!(error.contains("broken.jsonl, line 2: "), "{error}");

    let error = packages::read(&folder.path().join("absent")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
}
