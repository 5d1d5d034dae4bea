//! Looks through wgpu's adapters before cubecl is asked for a client: its client panics when it finds none.

use cubecl::wgpu::{AutoGraphicsApi, GraphicsApi, WgpuDevice, WgpuRuntime};
use wgpu::DeviceType;

use crate::KernelError;
use crate::gpu::Gpu;

const INSTALL: &str = "install a Vulkan driver (Debian: mesa-vulkan-drivers libvulkan1), or choose --device cpu";

pub(super) fn open(software_too: bool) -> Result<Gpu<WgpuRuntime>, KernelError> {
    let (device, name, software) = look(software_too)?;
    Gpu::open(&device, "wgpu", name, software)
}

/// The best adapter: what cubecl calls it, its name, whether it is software.
fn look(software_too: bool) -> Result<(WgpuDevice, String, bool), KernelError> {
    let backends = AutoGraphicsApi::backend().into(); // the one that cubecl's client will look in
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(backends));
    let best = adapters
        .iter()
        .map(|adapter| adapter.get_info())
        .filter_map(|info| rank(info.device_type).map(|(rank, device)| (rank, device, info)))
        .filter(|(_, device, _)| software_too || *device != WgpuDevice::Cpu)
        .min_by_key(|(rank, ..)| *rank);
    let Some((_, device, info)) = best else {
        let reason = match adapters.len() {
            0 => "no Vulkan adapter was found",
            _ if adapters.iter().any(|adapter| adapter.get_info().device_type == DeviceType::Cpu) => {
                "only a software Vulkan adapter was found"
            }
            _ => "no Vulkan adapter of a known type was found",
        };
        return Err(KernelError::Missing { device: "wgpu", reason: reason.to_owned(), remedy: INSTALL });
    };
    let software = device == WgpuDevice::Cpu;
    let driver = if info.driver_info.is_empty() { info.driver } else { info.driver_info };
    let kind = if software { "software, " } else { "" };
    Ok((device, format!("{}, {kind}{driver}", info.name), software))
}

/// How early an adapter is taken. One of unknown type is left alone: cubecl has no name for it.
fn rank(kind: DeviceType) -> Option<(u8, WgpuDevice)> {
    match kind {
        DeviceType::DiscreteGpu => Some((0, WgpuDevice::DiscreteGpu(0))),
        DeviceType::IntegratedGpu => Some((1, WgpuDevice::IntegratedGpu(0))),
        DeviceType::VirtualGpu => Some((2, WgpuDevice::VirtualGpu(0))),
        DeviceType::Cpu => Some((3, WgpuDevice::Cpu)),
        DeviceType::Other => None,
    }
}
