//! The real kernel: frame and elements through netlink and `nft`.
//!
//! Owns the order in which the frame is made, and its removal. Never decides which elements should stand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_domain::datapath::{Change, Commit, Element};
use egret_domain::net::{Family, Mac};
use rtnetlink::Handle;
use tracing::{info, warn};

use super::addresses::Held;
use super::elements::Transaction;
use super::settings::Settings;
use super::{Error, Kernel, addresses, frame, links, nft, routing, sysctl};
use crate::announce::announce;

/// The links that the datapath is on.
#[derive(Debug, Clone)]
struct Links {
    uplink: links::Uplink,
    /// The number of the tunnel's.
    tunnel: u32,
    /// The number of that of pooled IPv4 egress IPs.
    egress_ips: u32,
}

impl Links {
    /// Where a pooled egress IP belongs.
    fn place_of(&self, ip: IpAddr) -> Held {
        let link = match ip {
            IpAddr::V4(_) => self.egress_ips,
            IpAddr::V6(_) => self.uplink.index,
        };
        Held { link, ip }
    }
}

/// The kernel of the network namespace that it was made in.
#[derive(Debug)]
pub struct Linux {
    handle: Handle,
    settings: Settings,
    node: IpAddr,
    families: &'static [Family],
    /// `None` until the frame stands, or when it may not.
    links: Option<Links>,
    /// Whether the tables are to be made anew, whatever they look like: a transaction failed, or they may have lost
    /// their hooks with the link these were on, which no listing tells.
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
            families: sysctl::families(),
            links: None,
            is_suspect: false,
        })
    }

    /// The families for which there is a frame: IPv6 where it is not switched off and the kernel knows again what was
    /// put on a link.
    pub fn families(&self) -> &'static [Family] {
        self.families
    }

    /// Finds out whether this kernel can be a node of Egret's, before anything is installed.
    pub async fn check(&self) -> Result<(), Error> {
        links::uplink(&self.handle, self.node).await?;
        nft::check(&frame::probe(self.families, &self.settings)).await
    }

    async fn make_frame(&mut self) -> Result<(Links, BTreeSet<Element>), Error> {
        let uplink = links::uplink(&self.handle, self.node).await?;
        let tunnel = links::ensure_tunnel(&self.handle, &self.settings, self.node, &uplink).await?;
        self.is_suspect |= tunnel.is_new;
        let egress_ips = links::ensure_egress_ips(&self.handle).await?;
        let mtu = super::settings::tunnel_mtu(Family::of(self.node), uplink.mtu);
        let chains = frame::chains(self.families, &self.settings, mtu);
        let elements = self.ensure_tables(&chains).await?;
        for family in self.families {
            routing::ensure(&self.handle, &self.settings, tunnel.index, *family).await?;
        }
        let links = Links {
            uplink,
            tunnel: tunnel.index,
            egress_ips,
        };
        Ok((links, elements))
    }

    /// Makes the tables stand and tells the elements in them. Tables that are not right are made anew in one
    /// transaction, with the elements that they had.
    async fn ensure_tables(&mut self, chains: &[frame::Chain]) -> Result<BTreeSet<Element>, Error> {
        let listing = nft::list(self.families).await?;
        let listing = listing.unwrap_or_else(|| nft::Listing::of(self.families));
        let elements = listing.elements(&self.settings);
        let is_frame = listing.is_frame(chains);
        let commands = if is_frame && !self.is_suspect {
            listing.debris(&self.settings)
        } else {
            info!(elements = elements.len(), "making the nftables frame anew");
            let keep: Vec<_> = elements.iter().copied().map(Change::Add).collect();
            frame::text(self.families, chains) + &nft::commands(&keep, &self.settings)
        };
        if !commands.is_empty() {
            nft::run(&commands).await?;
        }
        self.is_suspect = false;
        Ok(elements)
    }

    async fn outside_tables(&self, links: &Links) -> Result<BTreeSet<Element>, Error> {
        let forwards = links::forwards(&self.handle, links.tunnel).await?;
        let forwards = forwards.into_iter();
        let held = self.held_in_place(links).await?;
        Ok(forwards
            .map(|(identity, node)| Element::Forward { identity, node })
            .chain(held.into_iter().map(Element::Address))
            .collect())
    }

    /// The pooled egress IPs where they belong. One on another link was left there when that was the uplink.
    async fn held_in_place(&self, links: &Links) -> Result<Vec<IpAddr>, Error> {
        let protocol = self.settings.route_protocol;
        let held = addresses::held(&self.handle, links.egress_ips, protocol).await?;
        let (right, wrong): (Vec<Held>, Vec<Held>) = held
            .into_iter()
            .partition(|held| *held == links.place_of(held.ip));
        for held in wrong {
            addresses::withdraw(&self.handle, held).await?;
        }
        Ok(right.into_iter().map(|held| held.ip).collect())
    }

    async fn forward(&self, tunnel: u32, forwards: &[(Mac, IpAddr)]) -> Result<(), Error> {
        for (identity, node) in forwards {
            links::forward(&self.handle, tunnel, *identity, *node).await?;
        }
        Ok(())
    }

    async fn try_commit(&mut self, links: &Links, commit: &Commit) -> Result<(), Error> {
        for ip in &commit.withdraw {
            addresses::withdraw(&self.handle, links.place_of(*ip)).await?;
        }
        self.forward(links.tunnel, &commit.forward).await?;
        self.transact(&commit.transaction).await?;
        for identity in &commit.unforward {
            links::unforward(&self.handle, links.tunnel, *identity).await?;
        }
        for ip in &commit.assume {
            let protocol = self.settings.route_protocol;
            addresses::assume(&self.handle, links.place_of(*ip), protocol).await?;
        }
        self.announce(links, &commit.announce).await
    }

    async fn transact(&mut self, changes: &[Change]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        self.is_suspect = true;
        match Transaction::of(changes, &self.settings) {
            Some(transaction) => transaction.run().await?,
            None => nft::run(&nft::commands(changes, &self.settings)).await?,
        }
        self.is_suspect = false;
        Ok(())
    }

    /// Each egress IP is announced where it is reached: a static one may be on a link other than the uplink.
    async fn announce(&self, links: &Links, ips: &[IpAddr]) -> Result<(), Error> {
        if ips.is_empty() {
            return Ok(());
        }
        let addresses = addresses::addresses(&self.handle).await?;
        for (link, ips) in reached_at(ips, &addresses, links) {
            announce(&ips, link);
        }
        Ok(())
    }

    async fn try_repair(&mut self) -> Result<BTreeSet<Element>, Error> {
        let (links, mut elements) = self.make_frame().await?;
        elements.extend(self.outside_tables(&links).await?);
        self.links = Some(links);
        Ok(elements)
    }

    /// The same where nothing of Egret's is installed yet: all of it, or nothing.
    async fn install(&mut self) -> Result<BTreeSet<Element>, Error> {
        let unfit = |source| Error::Unfit {
            source: Box::new(source),
        };
        self.check().await.map_err(unfit)?;
        match self.try_repair().await {
            Err(error) => match self.remove().await {
                Ok(()) => Err(unfit(error)),
                Err(left) => {
                    warn!(error = %left, "cannot clean up");
                    Err(error)
                }
            },
            done => done,
        }
    }
}

/// The links on which these egress IPs are reached. That of pooled IPv4 ones leads nowhere: the uplink answers for them.
fn reached_at(
    ips: &[IpAddr],
    addresses: &[(u32, IpAddr)],
    links: &Links,
) -> BTreeMap<u32, Vec<IpAddr>> {
    let mut reached = BTreeMap::<u32, Vec<IpAddr>>::new();
    for (link, ip) in addresses.iter().filter(|(_, ip)| ips.contains(ip)) {
        let link = if *link == links.egress_ips {
            links.uplink.index
        } else {
            *link
        };
        reached.entry(link).or_default().push(*ip);
    }
    reached
}

impl Kernel for Linux {
    async fn repair(&mut self) -> Result<BTreeSet<Element>, Error> {
        if self.links.is_some() {
            return self.try_repair().await;
        }
        if !links::is_tunnel_there(&self.handle).await? {
            return self.install().await;
        }
        self.check().await?;
        self.try_repair().await
    }

    async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let Some(links) = self.links.clone() else {
            return Err(Error::NoFrame);
        };
        self.try_commit(&links, commit).await
    }

    async fn remove(&mut self) -> Result<(), Error> {
        self.links = None;
        for held in addresses::held_ipv6(&self.handle, self.settings.route_protocol).await? {
            addresses::withdraw(&self.handle, held).await?;
        }
        for family in self.families {
            routing::remove(&self.handle, &self.settings, *family).await?;
        }
        links::remove(&self.handle).await?;
        nft::run(&frame::remove()).await
    }

    async fn verify(&mut self, families: &BTreeSet<Family>) -> Result<(), Error> {
        let links = self.links.as_ref().ok_or(Error::NoFrame)?;
        for family in families {
            match family {
                Family::V4 => sysctl::answers_arp(&links.uplink.name).await?,
                Family::V6 => sysctl::forwards_ipv6().await?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_pooled_ip_is_announced_on_the_uplink_and_a_static_one_on_the_link_that_has_it() {
        let uplink = links::Uplink {
            name: "eth0".to_owned(),
            index: 2,
            mtu: 1500,
        };
        let links = Links {
            uplink,
            tunnel: 7,
            egress_ips: 8,
        };
        let (pooled, fixed) = (ip("10.10.0.11"), ip("192.0.2.1"));
        let pooled_v6 = ip("fd10::11");
        let addresses = [
            (2, ip("10.10.0.101")),
            (2, pooled_v6),
            (3, fixed),
            (8, pooled),
        ];
        let held = [pooled, pooled_v6, fixed, ip("10.10.0.12")];
        assert_eq!(
            reached_at(&held, &addresses, &links),
            BTreeMap::from([(2, vec![pooled_v6, pooled]), (3, vec![fixed])])
        );
    }
}
