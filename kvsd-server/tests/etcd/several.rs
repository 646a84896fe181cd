//! One client and several front ends: its connections are spread, a front end that dies costs no
//! operation its time, and one that comes back is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kvsd::{Client, ErrorKind, Outcome};

use crate::cluster::{Cluster, within};
use crate::front_end::FrontEnd;

const TASKS: u64 = 8;
/// Stated: a returned address is used again within 10 s, and has its share soon after.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_two_front_ends_outlives_either_and_comes_back() {
    let Some(cluster) = Cluster::start(3).await else { return };
    let mut front_ends = [FrontEnd::start(&cluster).await, FrontEnd::start(&cluster).await];
    let url = format!("kvsd://{},{}", front_ends[0].address(), front_ends[1].address());
    let builder = Client::builder().url(&url).unwrap().pool_size(4);
    let client = builder.timeout(Duration::from_secs(20)).connect().await.unwrap();
    assert_spread(&front_ends).await;

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let key = format!("task/{task}");
                let (mut acknowledged, mut unknown) = (0_i64, 0_i64);
                while !stop.load(Ordering::Relaxed) {
                    // A read may be sent again, so it always comes to an answer.
                    let seen = client.get::<i64>(&key).await.unwrap().unwrap_or(0);
                    assert!((acknowledged..=acknowledged + unknown).contains(&seen), "{seen}");
                    match client.increment(&key, 1).await {
                        Ok(_) => acknowledged += 1,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error:#}");
                            // What certainly has not happened is not counted.
                            unknown += i64::from(error.outcome() == Outcome::Unknown);
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                let sum = client.get::<i64>(&key).await.unwrap().unwrap_or(0);
                assert!((acknowledged..=acknowledged + unknown).contains(&sum), "{key}: {sum}");
                (acknowledged, unknown)
            })
        })
        .collect();
    for turn in 0..2 {
        let other = 1 - turn;
        front_ends[turn].kill();
        let before = done.load(Ordering::Relaxed);
        let goes_on = async || done.load(Ordering::Relaxed) > before + 20 * TASKS;
        assert!(within(PATIENCE, goes_on).await, "the operations do not go on without one of two");
        let survivor = &front_ends[other];
        assert!(within(PATIENCE, async || survivor.connections().await == 4).await);
        front_ends[turn].restart().await;
        assert_spread(&front_ends).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut unknown) = (0, 0);
    for task in tasks {
        let (sure, unsure) = task.await.unwrap();
        acknowledged += sure;
        unknown += unsure;
    }
    println!("{acknowledged} increments acknowledged and {unknown} unknown, over two front ends");
    assert!(acknowledged > 0);
}

async fn assert_spread(front_ends: &[FrontEnd; 2]) {
    let is_spread =
        async || front_ends[0].connections().await == 2 && front_ends[1].connections().await == 2;
    assert!(within(PATIENCE, is_spread).await, "four connections are not spread over two servers");
}
