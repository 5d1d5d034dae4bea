//! How much memory the series of a command may take.

use bytesize::ByteSize;
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::config::Config;

/// What is left to others of the memory that is free, as a divisor of it.
const SHARE: u64 = 2;

/// Taken where the machine does not tell what it has.
const UNKNOWN_BYTES: u64 = 1 << 30;

/// `forecast.memory`; by default half of what is free on this machine and in this process' control group.
pub(super) fn budget_bytes(config: &Config) -> u64 {
    config.forecast().memory_bytes().unwrap_or_else(|| free_bytes().map_or(UNKNOWN_BYTES, |free| free / SHARE))
}

/// Memory that can be had without swapping; `None` where nobody tells.
fn free_bytes() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let mut system = System::new_with_specifics(memory).ok()?;
    let own = Pid::from_u32(std::process::id());
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing());
    let limits = system.process(own).and_then(|process| process.cgroup_limits());
    // Of what a group has used its page cache can be had back.
    let in_group = limits.map_or(u64::MAX, |limits| limits.total_memory.saturating_sub(limits.rss));
    Some(system.available_memory().min(in_group)).filter(|free| *free > 0)
}

/// Bytes as people read them.
pub(super) fn shown(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_share_of_what_is_free_and_a_setting_is_what_it_says() {
        let free = free_bytes().expect("this machine tells");
        let config = |text: &str| Config::from_toml(text, "foreshadow.toml", &[]).unwrap();
        let usual = budget_bytes(&config(""));
        assert!(usual > 1 << 20 && usual < free, "{usual} of {free}");
        assert_eq!(budget_bytes(&config("[forecast]\nmemory = '1.5 GiB'\n")), 3 << 29);
        assert_eq!(shown(3 << 29), "1.5 GiB");
    }
}
