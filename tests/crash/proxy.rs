//! The way to the database: a proxy that can cut it, refuse it, or lose what comes back.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// The database hears, and is not heard.
    Mute,
    /// Nothing passes, nobody gets through.
    Cut,
}

/// Stands between the processes and the database.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Open);
        let watched = way.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                if *watched.borrow() != Way::Cut {
                    tokio::spawn(pass(client, socket.clone(), watched.subscribe()));
                }
            }
        });
        Self { port, way, task }
    }

    pub(crate) fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    pub(crate) fn mute(&self) {
        self.way.send_replace(Way::Mute);
    }

    pub(crate) fn open(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, socket: PathBuf, mut way: watch::Receiver<Way>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let _ = client.set_nodelay(true);
    let (mut asked, mut answered) = (vec![0; 32 << 10], vec![0; 32 << 10]);
    // No network loses bytes in the middle of a connection and goes on with it, however short the cut is that follows.
    let mut lost = false;
    loop {
        if lost && *way.borrow() != Way::Mute {
            return;
        }
        let passed = tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(0) | Err(_) => return,
                Ok(bytes) => server.write_all(&asked[..bytes]).await,
            },
            read = server.read(&mut answered) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) if *way.borrow() == Way::Mute => {
                    lost = true;
                    Ok(())
                }
                Ok(bytes) => client.write_all(&answered[..bytes]).await,
            },
            changed = way.changed() => {
                if changed.is_err() || *way.borrow_and_update() == Way::Cut {
                    return;
                }
                Ok(())
            }
        };
        if passed.is_err() {
            return;
        }
    }
}
