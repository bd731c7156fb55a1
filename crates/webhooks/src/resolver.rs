use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use crate::target::Reach;

/// Looks names up.
#[async_trait]
pub(crate) trait Lookup: Send + Sync {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system does.
pub(crate) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Looks a name up for one connection and leaves what the target may reach. The connection goes to one of these, so that a
/// name which means something else a moment later changes nothing.
///
/// An address in the place of a name does not come by here; [`Target::parse`](crate::Target::parse) has checked it.
pub(crate) struct CheckedResolver {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) reach: Reach,
}

/// Every address of a name is one that its target may not reach.
#[derive(Debug, Error)]
#[error("the host has private addresses alone, which `allow_private` would allow")]
struct PrivateAlone;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, reach) = (Arc::clone(&self.lookup), self.reach);
        Box::pin(async move {
            let found = lookup.addresses(name.as_str()).await?;
            let mut allowed = found.into_iter().filter(move |address| reach.includes(*address)).peekable();
            if allowed.peek().is_none() {
                return Err(PrivateAlone.into());
            }
            // The port is the URL's.
            let addresses: Addrs = Box::new(allowed.map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
