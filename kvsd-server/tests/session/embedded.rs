//! The server inside a program.

use kvsd_server::{Embedded, ServeError};

#[tokio::test]
async fn what_was_written_is_there_when_the_folder_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Embedded::open(folder.path()).await.unwrap();
    let client = server.client().await.unwrap();
    client.set("closed", "a").await.unwrap();
    drop(client);
    server.close().await.unwrap();

    let server = Embedded::open(folder.path()).await.unwrap();
    let client = server.client().await.unwrap();
    client.set("dropped", "b").await.unwrap();
    drop(server);
    // Its client is told, and does not hang.
    assert!(client.get::<String>("dropped").await.is_err());

    let server = Embedded::open(folder.path()).await.unwrap();
    let client = server.client().await.unwrap();
    assert_eq!(client.get::<String>("closed").await.unwrap().as_deref(), Some("a"));
    assert_eq!(client.get::<String>("dropped").await.unwrap().as_deref(), Some("b"));
}

#[tokio::test]
async fn a_temporary_folder_goes_with_its_server() {
    let server = Embedded::temporary().await.unwrap();
    let closed = server.data_dir().to_path_buf();
    assert!(closed.exists());
    server.close().await.unwrap();
    assert!(!closed.exists());

    let server = Embedded::temporary().await.unwrap();
    let dropped = server.data_dir().to_path_buf();
    let client = server.client().await.unwrap();
    client.set("k", "v").await.unwrap();
    drop(server);
    assert!(!dropped.exists());
}

#[tokio::test]
async fn a_folder_that_is_open_already_is_named() {
    let server = Embedded::temporary().await.unwrap();
    let error = Embedded::open(server.data_dir()).await.unwrap_err();
    assert!(matches!(error, ServeError::Open(_)), "{error}");
    let (told, folder) = (error.to_string(), server.data_dir().display().to_string());
    assert!(told.contains(&folder) && told.contains("in use by another process"), "{told}");
}

#[tokio::test]
async fn an_error_is_shown_with_all_its_causes_and_each_of_them_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let error = Embedded::open(file.join("data")).await.unwrap_err();
    let system = std::fs::read_dir(file.join("data")).unwrap_err().to_string();
    let (short, long) = (error.to_string(), format!("{error:#}"));
    assert!(short.contains(&file.display().to_string()) && !short.contains(&system), "{short}");
    assert_eq!(long, format!("{short}: {system}"));
    let error = Embedded::options().max_value_bytes(1).temporary().await.unwrap_err();
    assert!(format!("{error:#}").starts_with("the settings do not make sense: "), "{error:#}");
}

#[tokio::test]
async fn options_out_of_bounds_are_refused() {
    let error = Embedded::options().max_value_bytes(1).temporary().await.unwrap_err();
    assert!(matches!(error, ServeError::Config(_)), "{error}");
    let server = Embedded::options().max_value_bytes(1024).temporary().await.unwrap();
    let client = server.client().await.unwrap();
    client.set("k", "v".repeat(1024)).await.unwrap();
    assert!(client.set("k", "v".repeat(1025)).await.is_err());
}

/// A runtime that ends takes the client's connections with it, but not the server.
#[test]
fn runtimes_come_and_go() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime().block_on(Embedded::temporary()).unwrap();
    for round in 0..3_u64 {
        runtime().block_on(async {
            let client = server.client().await.unwrap();
            assert_eq!(client.get::<u64>("round").await.unwrap(), round.checked_sub(1));
            client.set("round", round).await.unwrap();
        });
    }
    runtime().block_on(server.close()).unwrap();
}

#[tokio::test]
async fn many_tasks_share_one_client() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let tasks: Vec<_> = (0..200_u64)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let key = format!("k{number}");
                client.set(&key, number).await.unwrap();
                assert_eq!(client.get::<u64>(&key).await.unwrap(), Some(number));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    client.close().await;
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_record_is_what_was_written_last_whatever_the_cache_has_room_for() {
    for bytes in [0, 600, 1 << 20] {
        let server = Embedded::options().cache_bytes(bytes).temporary().await.unwrap();
        let client = server.client().await.unwrap();
        for round in 0..3_usize {
            for key in 0..20_u32 {
                // Of another length each time, but for every third key.
                let value = round.to_string().repeat(if key % 3 == 0 { 5 } else { 5 + round });
                client.set(key.to_string(), &value).await.unwrap();
                let read = client.get::<String>(key.to_string()).await.unwrap();
                assert_eq!(read.as_ref(), Some(&value), "{bytes} bytes of cache");
            }
            for key in 0..20_u32 {
                let read = client.get::<String>(key.to_string()).await.unwrap();
                assert_eq!(read.unwrap()[..1], round.to_string(), "{bytes} bytes of cache");
            }
        }
        client.delete("7").await.unwrap();
        assert_eq!(client.get::<String>("7").await.unwrap(), None);
        server.close().await.unwrap();
    }
    assert!(Embedded::options().cache_bytes(usize::MAX).temporary().await.is_err());
}
