//! The devices that numbers can lie on: which are here, and why one is not.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

use crate::KernelError;
use crate::gpu::{Gpu, GpuCeilings};

mod cuda;
mod vulkan;

/// Which device a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// CUDA, then a hardware wgpu adapter, then the CPU; never a software adapter, which is slower than
    /// our own CPU code.
    #[default]
    Auto,
    /// This machine's cores.
    Cpu,
    /// Any wgpu adapter, a software one if there is no other.
    Wgpu,
    /// The first NVIDIA GPU.
    Cuda,
}

/// A word that names no device.
#[derive(Debug, thiserror::Error)]
#[error("unknown device `{0}`: choose auto, cpu, wgpu or cuda")]
pub struct UnknownDevice(String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(word: &str) -> Result<Self, UnknownDevice> {
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(UnknownDevice(other.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

/// An open device. A GPU has compiled and answered a probe kernel before it is one.
#[derive(Clone, Debug)]
pub enum Device {
    /// This machine's cores.
    Cpu,
    /// A GPU behind Vulkan, Metal or DirectX, or a software Vulkan.
    Wgpu(Gpu<WgpuRuntime>),
    /// An NVIDIA GPU.
    Cuda(Gpu<CudaRuntime>),
}

impl Device {
    /// Opens what was asked for.
    ///
    /// # Errors
    /// [`KernelError::Missing`] when a device asked for by name is not here, [`KernelError::Device`] when
    /// it is and fails its probe. [`DeviceChoice::Auto`] has neither: it goes on to the next device.
    pub fn open(choice: DeviceChoice) -> Result<Self, KernelError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::Cpu),
            DeviceChoice::Wgpu => vulkan::open(true).map(Self::Wgpu),
            DeviceChoice::Cuda => cuda::open().map(Self::Cuda),
            DeviceChoice::Auto => {
                let cuda = cuda::open().map(Self::Cuda);
                let hardware = cuda.or_else(|_| vulkan::open(false).map(Self::Wgpu));
                Ok(hardware.unwrap_or(Self::Cpu))
            }
        }
    }

    /// `cpu`, `wgpu` or `cuda`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu(gpu) => gpu.kind(),
            Self::Cuda(gpu) => gpu.kind(),
        }
    }

    /// Waits until all work given to it has been done.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refused some of it.
    pub fn wait(&self) -> Result<(), KernelError> {
        match self {
            Self::Cpu => Ok(()),
            Self::Wgpu(gpu) => gpu.wait(),
            Self::Cuda(gpu) => gpu.wait(),
        }
    }

    /// Measures what a GPU can do at most, by a clock of seconds since whenever: a second, and three gigabytes of its
    /// memory. `None` of the CPU.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refuses the work.
    pub fn ceilings(&self, now: &dyn Fn() -> f64) -> Result<Option<GpuCeilings>, KernelError> {
        match self {
            Self::Cpu => Ok(None),
            Self::Wgpu(gpu) => gpu.ceilings(now).map(Some),
            Self::Cuda(gpu) => gpu.ceilings(now).map(Some),
        }
    }

    /// Bytes of the largest piece of memory that a GPU gives; `None` of the CPU.
    pub fn largest_piece(&self) -> Option<usize> {
        match self {
            Self::Cpu => None,
            Self::Wgpu(gpu) => Some(gpu.largest_piece()),
            Self::Cuda(gpu) => Some(gpu.largest_piece()),
        }
    }

    /// Whether kernels on it may compute in `f64`; many a GPU behind wgpu may not.
    pub fn has_f64(&self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Wgpu(gpu) => gpu.has_f64(),
            Self::Cuda(gpu) => gpu.has_f64(),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu ({})", cpu_name()),
            Self::Wgpu(gpu) => write!(f, "wgpu ({})", gpu.name()),
            Self::Cuda(gpu) => write!(f, "cuda ({})", gpu.name()),
        }
    }
}

fn cpu_name() -> String {
    let threads = rayon::current_num_threads();
    // Its variants differ from one processor family to another; its text starts with the variant's name.
    let arch = format!("{:?}", pulp::Arch::new());
    let instructions = match arch.split('(').next() {
        Some("V4") => "AVX-512",
        Some("V3") => "AVX2 and FMA",
        Some("Neon") => "NEON",
        _ => "no SIMD beyond the baseline",
    };
    format!("{threads} threads, {instructions}")
}

/// What `doctor` says of one device.
#[derive(Debug)]
pub struct Report {
    /// `cpu`, `wgpu` or `cuda`.
    pub device: &'static str,
    /// The device's own name, or why it cannot be used and what to do about it.
    pub found: Result<String, KernelError>,
    /// Whether [`DeviceChoice::Auto`] may take it: a software adapter is only taken when asked for.
    pub automatic: bool,
}

/// Tries every device and says what came of it, in the order in which `auto` tries them.
pub fn report() -> Vec<Report> {
    let cuda = cuda::open();
    let wgpu = vulkan::open(true);
    let hardware = wgpu.as_ref().is_ok_and(|gpu| !gpu.is_software());
    vec![
        Report { device: "cuda", automatic: cuda.is_ok(), found: cuda.map(|gpu| gpu.name().to_owned()) },
        Report { device: "wgpu", automatic: hardware, found: wgpu.map(|gpu| gpu.name().to_owned()) },
        Report { device: "cpu", automatic: true, found: Ok(cpu_name()) },
    ]
}

/// Every device of this machine, for tests: the CPU always, software Vulkan too.
///
/// # Panics
/// When `FORESHADOW_REQUIRE_DEVICES`, a list such as `cpu,wgpu`, names one that is missing.
pub fn present() -> Vec<Device> {
    static PRESENT: OnceLock<Vec<Device>> = OnceLock::new();
    let devices = PRESENT.get_or_init(|| {
        let required = std::env::var("FORESHADOW_REQUIRE_DEVICES").unwrap_or_default();
        let opened = [("cpu", DeviceChoice::Cpu), ("wgpu", DeviceChoice::Wgpu), ("cuda", DeviceChoice::Cuda)];
        let opened = opened.map(|(name, choice)| (name, Device::open(choice)));
        for word in required.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match opened.iter().find(|(name, _)| *name == word) {
                Some((_, Ok(_))) => {}
                Some((_, Err(error))) => panic!("FORESHADOW_REQUIRE_DEVICES asks for {word}: {error}"),
                None => panic!("FORESHADOW_REQUIRE_DEVICES names `{word}`, which is no device"),
            }
        }
        opened.into_iter().filter_map(|(_, device)| device.ok()).collect()
    });
    devices.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_chosen_by_its_word() {
        for word in ["auto", "cpu", "wgpu", "cuda"] {
            assert_eq!(word.parse::<DeviceChoice>().unwrap().to_string(), word);
        }
        let error = "gpu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert_eq!(error, "unknown device `gpu`: choose auto, cpu, wgpu or cuda");
    }

    #[test]
    fn a_missing_device_is_an_error_that_says_what_to_install() {
        for Report { device, found, .. } in report() {
            match found {
                Ok(name) => assert!(!name.is_empty(), "{device} has a name"),
                Err(KernelError::Missing { reason, remedy, .. }) => {
                    assert!(device != "cpu" && !reason.is_empty() && remedy.contains("install"), "{device}: {remedy}");
                }
                Err(other) => panic!("{device} is here and fails: {other}"),
            }
        }
    }

    #[test]
    fn auto_never_takes_a_software_adapter() {
        match Device::open(DeviceChoice::Auto).unwrap() {
            Device::Wgpu(gpu) => assert!(!gpu.is_software(), "{}", gpu.name()),
            Device::Cpu => assert!(!report().iter().any(|r| r.automatic && r.device != "cpu")),
            Device::Cuda(_) => {}
        }
    }
}
