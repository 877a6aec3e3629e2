//! Kernel settings in `/proc/sys/net/ipv4/conf` and `/proc/sys/net/ipv6/conf`.
//!
//! Owns those of Egret's own links. Reads others that are in its way, and never changes them.

use std::io;
use std::path::{Path, PathBuf};

use egret_domain::net::Family;

use super::Error;

/// Where a container's runtime shows the settings, often read-only.
const SHOWN: &str = "/proc/sys/net";
/// Where the agent's `DaemonSet` mounts the same ones so that they can be written without a privileged container.
const MOUNTED: &str = "/run/egret/sysctl";
/// Since this version of Linux an address tells whose it is: without, an IPv6 egress IP is not known again.
const LINUX_WITH_MARKED_ADDRESSES: (u32, u32) = (5, 18);

/// The families that this node's kernel can serve, before anybody has asked for any.
pub(super) fn families() -> &'static [Family] {
    let disabled = path(SHOWN, Family::V6, "all", "disable_ipv6");
    let is_on = std::fs::read_to_string(disabled).is_ok_and(|value| value.trim() == "0");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if is_on && version(&release).is_some_and(|version| version >= LINUX_WITH_MARKED_ADDRESSES) {
        &[Family::V4, Family::V6]
    } else {
        &[Family::V4]
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The file of a setting of a link, or of `all` links.
fn path(root: &str, family: Family, link: &str, name: &str) -> PathBuf {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    [root, family, "conf", link, name].iter().collect()
}

/// Writes a setting of a link, unless it is so already: /proc may be read-only where nothing has to change.
pub(super) async fn set(family: Family, link: &str, name: &str, value: &str) -> Result<(), Error> {
    let shown = path(SHOWN, family, link, name);
    let is = tokio::fs::read_to_string(&shown).await.unwrap_or_default();
    if is.trim() == value {
        return Ok(());
    }
    let written = match tokio::fs::write(&shown, value).await {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            // Where nothing is mounted there, it is the first error that tells what is wrong.
            let mounted = path(MOUNTED, family, link, name);
            tokio::fs::write(mounted, value).await.map_err(|_| error)
        }
        written => written,
    };
    written.map_err(|source| refused(&shown, source))
}

fn refused(path: &Path, source: io::Error) -> Error {
    Error::Sysctl {
        path: path.display().to_string(),
        source,
    }
}

/// A setting; `None` if it is not there, for the link is gone: what repairs the frame says so.
async fn get(path: &Path) -> Result<Option<String>, Error> {
    match tokio::fs::read_to_string(path).await {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(path, error)),
    }
}

/// Whether ARP is answered on the uplink for addresses of other links, as pooled egress IPs are.
pub(super) async fn answers_arp(uplink: &str) -> Result<(), Error> {
    // The larger of the two is in force.
    for link in ["all", uplink] {
        let path = path(SHOWN, Family::V4, link, "arp_ignore");
        if let Some(value) = get(&path).await?.filter(|value| value != "0") {
            return Err(Error::ArpIgnored {
                path: path.display().to_string(),
                value,
            });
        }
    }
    Ok(())
}

/// Whether IPv6 packets are forwarded at all: unlike for IPv4, a link's own setting does not do.
pub(super) async fn forwards_ipv6() -> Result<(), Error> {
    let path = path(SHOWN, Family::V6, "all", "forwarding");
    match get(&path).await? {
        Some(value) if value == "0" => Err(Error::NotForwarding {
            path: path.display().to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_version_is_read_from_its_release() {
        assert_eq!(version("5.18.0-rc1\n"), Some((5, 18)));
        assert_eq!(version("6.8-generic"), Some((6, 8)));
        assert_eq!(version("linux"), None);
    }
}
