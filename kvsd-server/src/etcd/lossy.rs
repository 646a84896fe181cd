//! A way to a member that loses an answer, for tests of what is sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Once armed, it delivers the next request that holds some bytes so many times, and loses the
/// answer; the connection is silent from then on, until it is cut.
pub(super) struct Lossy {
    pub(super) endpoint: String,
    is_armed: Arc<AtomicBool>,
    cut: watch::Sender<()>,
}

impl Lossy {
    pub(super) async fn to(member: String, bytes: &'static [u8], times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let is_armed = Arc::new(AtomicBool::new(false));
        let (cut, cuts) = watch::channel(());
        let armed = Arc::clone(&is_armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (member, armed, mut cuts) = (member.clone(), Arc::clone(&armed), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(member).await else { return };
                    tokio::select! {
                        () = carry(client, server, (bytes, times), &armed) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { endpoint, is_armed, cut }
    }

    pub(super) fn arm(&self) {
        self.is_armed.store(true, Ordering::SeqCst);
    }

    /// Breaks the connections, so that what was not answered is sent again.
    ///
    /// # Panics
    ///
    /// If no answer was lost.
    pub(super) fn cut(&self) {
        assert!(!self.is_armed.load(Ordering::SeqCst), "no answer was lost");
        self.cut.send_replace(());
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    (bytes, times): (&[u8], usize),
    is_armed: &AtomicBool,
) {
    let is_silent = AtomicBool::new(false);
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let there = async {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            let found = buffer[..read].windows(bytes.len()).filter(|part| *part == bytes).count();
            if found >= times && is_armed.swap(false, Ordering::SeqCst) {
                is_silent.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if !is_silent.load(Ordering::SeqCst)
                && to_client.write_all(&buffer[..read]).await.is_err()
            {
                break;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
