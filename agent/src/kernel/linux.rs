//! The real kernel: frame and elements through netlink and `nft`.
//!
//! Owns the order in which the frame is made, and its removal. Never decides which elements should stand.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_domain::datapath::{Change, Commit, Element};
use egret_domain::net::Mac;
use rtnetlink::Handle;
use tracing::{info, warn};

use super::settings::Settings;
use super::{Error, Kernel, frame, links, nft, routing};
use crate::announce::announce;

/// The numbers of Egret's links.
#[derive(Debug, Clone, Copy)]
struct Links {
    tunnel: u32,
    egress_ips: u32,
}

/// The kernel of the network namespace that it was made in.
#[derive(Debug)]
pub struct Linux {
    handle: Handle,
    settings: Settings,
    node: IpAddr,
    /// `None` until the frame stands, or when it may not.
    links: Option<Links>,
    /// Whether the last transaction failed, so that the tables are to be made anew.
    is_suspect: bool,
}

impl Linux {
    /// The kernel that this task sees; `node` is the node's own address.
    pub fn new(settings: Settings, node: IpAddr) -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
        // Ends with the last handle.
        tokio::spawn(connection);
        Ok(Self {
            handle,
            settings,
            node,
            links: None,
            is_suspect: false,
        })
    }

    /// Finds out whether this kernel can be a node of Egret's, before anything is installed.
    pub async fn check(&self) -> Result<(), Error> {
        links::uplink(&self.handle, self.node).await?;
        nft::check(&frame::probe(&self.settings)).await
    }

    /// Removes every trace of Egret from the kernel.
    pub async fn remove(&mut self) -> Result<(), Error> {
        self.links = None;
        routing::remove(&self.handle, &self.settings).await?;
        links::remove(&self.handle).await?;
        nft::run(&frame::remove()).await
    }

    async fn make_frame(&mut self) -> Result<(Links, BTreeSet<Element>), Error> {
        let uplink = links::uplink(&self.handle, self.node).await?;
        let tunnel = links::ensure_tunnel(&self.handle, &self.settings, self.node, uplink).await?;
        let egress_ips = links::ensure_egress_ips(&self.handle).await?;
        let mtu = super::settings::tunnel_mtu(uplink.mtu);
        let elements = self
            .ensure_tables(&frame::chains(&self.settings, mtu))
            .await?;
        routing::ensure(&self.handle, &self.settings, tunnel).await?;
        Ok((Links { tunnel, egress_ips }, elements))
    }

    /// Makes the tables stand and tells the elements in them. Tables that are not right are made anew in one
    /// transaction, with the elements that they had.
    async fn ensure_tables(&mut self, chains: &[frame::Chain]) -> Result<BTreeSet<Element>, Error> {
        let listing = nft::list().await?.unwrap_or_default();
        let elements = listing.elements();
        let is_frame = listing.is_frame(chains);
        let commands = if is_frame && !self.is_suspect {
            listing.debris()
        } else {
            info!(elements = elements.len(), "making the nftables frame anew");
            let keep: Vec<_> = elements.iter().copied().map(Change::Add).collect();
            frame::text(chains) + &nft::commands(&keep)
        };
        if !commands.is_empty() {
            nft::run(&commands).await?;
        }
        self.is_suspect = false;
        Ok(elements)
    }

    async fn outside_tables(&self, links: Links) -> Result<BTreeSet<Element>, Error> {
        let forwards = links::forwards(&self.handle, links.tunnel).await?;
        let forwards = forwards.into_iter();
        let addresses = links::addresses(&self.handle).await?;
        let held = addresses
            .into_iter()
            .filter(|(link, ip)| *link == links.egress_ips && ip.is_ipv4());
        Ok(forwards
            .map(|(identity, node)| Element::Forward { identity, node })
            .chain(held.map(|(_, ip)| Element::Address(ip)))
            .collect())
    }

    async fn forward(&self, tunnel: u32, forwards: &[(Mac, IpAddr)]) -> Result<(), Error> {
        for (identity, node) in forwards {
            links::forward(&self.handle, tunnel, *identity, *node).await?;
        }
        Ok(())
    }

    async fn try_commit(&mut self, links: Links, commit: &Commit) -> Result<(), Error> {
        for ip in &commit.withdraw {
            links::withdraw(&self.handle, links.egress_ips, *ip).await?;
        }
        self.forward(links.tunnel, &commit.forward).await?;
        let commands = nft::commands(&commit.transaction);
        if !commands.is_empty() {
            self.is_suspect = true;
            nft::run(&commands).await?;
            self.is_suspect = false;
        }
        for identity in &commit.unforward {
            links::unforward(&self.handle, links.tunnel, *identity).await?;
        }
        for ip in &commit.assume {
            links::assume(&self.handle, links.egress_ips, *ip).await?;
        }
        if !commit.announce.is_empty() {
            let uplink = links::uplink(&self.handle, self.node).await?;
            announce(&commit.announce, uplink.index);
        }
        Ok(())
    }
}

impl Kernel for Linux {
    async fn repair(&mut self) -> Result<BTreeSet<Element>, Error> {
        let is_new = self.links.is_none() && !links::is_tunnel_there(&self.handle).await?;
        if self.links.is_none() {
            self.check().await?;
        }
        let made = self.make_frame().await;
        if made.is_err() && is_new {
            // Half a frame must not stay behind on a node that cannot be one of Egret's.
            self.remove()
                .await
                .unwrap_or_else(|error| warn!(%error, "cannot clean up"));
        }
        let (links, mut elements) = made?;
        self.links = Some(links);
        elements.extend(self.outside_tables(links).await?);
        Ok(elements)
    }

    async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let Some(links) = self.links else {
            return Err(Error::NoFrame);
        };
        self.try_commit(links, commit).await
    }
}
