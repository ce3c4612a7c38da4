#!/bin/sh
# Builds the kernel of the IOMMUFD guest from Debian's linux-source package: Debian's own arm64 kernels have IOMMUFD
# off, so with them nothing can answer IOMMU_GET_HW_INFO.
#   build-kernel.sh LINUX-SOURCE.deb FOLDER
# leaves FOLDER/Image and FOLDER/release. About 7 minutes of two idle cores and 3 GB of disk while it runs.
# Needs: gcc-aarch64-linux-gnu make bc bison flex libssl-dev xz-utils.
set -eu
deb=$1
folder=$2
config=$(dirname "$(readlink -f "$0")")/kernel.config

mkdir -p "$folder"
work=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

source=$(dpkg-deb -c "$deb" | sed -n 's|.*\(\./usr/src/linux-source-.*\.tar\.xz\)$|\1|p')
dpkg-deb --fsys-tarfile "$deb" | tar -xO "$source" | tar -xJ -C "$work" --strip-components=1

# Who built it, where and when stands in /proc/version, and so in recordings.
export KBUILD_BUILD_USER=vsmmu KBUILD_BUILD_HOST=guest KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'

kernel_make() { make -s -C "$work" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- "$@"; }
kernel_make KCONFIG_ALLCONFIG="$config" allnoconfig
# An option whose dependencies are missing is left out without a word.
missing=$(grep '^CONFIG_' "$config" | grep -vxFf "$work/.config" || true)
if [ -n "$missing" ]; then
  echo "this kernel's configuration does not take: $missing" >&2
  exit 1
fi
kernel_make -j"$(nproc)" Image
kernel_make kernelrelease >"$folder/release"
mv "$work/arch/arm64/boot/Image" "$folder/Image"
