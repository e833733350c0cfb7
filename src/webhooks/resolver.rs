//! From names to addresses. Addresses are looked at where they are used: those that a connection is made to are the very ones
//! that were admitted, so that a name which means somebody else a moment later (DNS rebinding) gains nothing.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::target::{Policy, Refusal};

/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Knows the addresses of names.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The addresses of a name.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks this machine.
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why there is no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// Nobody knows the name.
    Unknown,
    /// It means nobody who may be told.
    Forbidden,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the name is not known",
            Self::Forbidden => "the name leads to no public address",
        })
    }
}

impl StdError for Unresolved {}

/// Gives the HTTP client nothing but addresses that may be told.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) policy: Policy,
    /// For connections without encryption.
    pub(super) is_http: bool,
}

impl Guarded {
    /// Those addresses of a name that may be told.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let found = tokio::time::timeout(PATIENCE, self.lookup.lookup(name)).await;
        let found = found.ok().and_then(io::Result::ok).unwrap_or_default();
        if found.is_empty() {
            return Err(Unresolved::Unknown);
        }
        let allowed: Vec<_> =
            found.into_iter().filter(|address| self.policy.allows(*address, self.is_http)).collect();
        if allowed.is_empty() { Err(Unresolved::Forbidden) } else { Ok(allowed) }
    }

    /// Whether an address that somebody wants to set leads where it may, as of now.
    pub(super) async fn check(&self, url: &Url) -> Result<(), Refusal> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        match self.addresses(name).await {
            Ok(_) => Ok(()),
            Err(Unresolved::Unknown) => Err(Refusal::Unresolved),
            Err(Unresolved::Forbidden) => Err(Refusal::NotPublic),
        }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guarded = self.clone();
        Box::pin(async move {
            let addresses = guarded.addresses(name.as_str()).await?;
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}
