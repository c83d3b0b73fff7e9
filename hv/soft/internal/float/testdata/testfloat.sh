#!/bin/sh
# Prints the path of Berkeley TestFloat's testfloat_gen, building it first if
# it is not in the cache. The source is the copy inside Debian's qemu source
# package, of which the digest is checked; SoftFloat is built with the NaN and
# saturation rules of its ARM-VFPv2 specialization. Needs apt, gcc, make, xz.
#
# The host's apt state stays untouched: lists and downloads are private.
# ARCBOX_CACHE overrides the cache, ~/.cache/arcbox.
set -eu

archive=qemu_7.2+dfsg.orig.tar.xz
digest=91aca71520040edc40b8d437aa3004dae614f58e286cf653ee8996c07af2962f
recipe=1 # raise when the way of building below changes

cache=${ARCBOX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/arcbox}
dir=$cache/testfloat/$(printf %.12s "$digest")-$recipe
tool=$dir/testfloat_gen
if [ -x "$tool" ]; then
	echo "$tool"
	exit
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/testfloat.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/src"

# The host's own Debian mirrors, asked for sources instead of packages.
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' 'Origin: Debian' |
	sort -u | sed 's/^/deb-src [trusted=yes] /' >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "root";
EOF
(
	export APT_CONFIG="$work/apt.conf"
	cd "$work/src"
	apt-get -q update
	apt-get -q source --download-only qemu
	# The digest is what vouches for the source; the lists need not.
	echo "$digest  $archive" | sha256sum -c -
	tar -xJf "$archive" --strip-components=3 \
		qemu-7.2.0/tests/fp/berkeley-softfloat-3 qemu-7.2.0/tests/fp/berkeley-testfloat-3
	make -s -C berkeley-softfloat-3/build/Linux-x86_64-GCC SPECIALIZE_TYPE=ARM-VFPv2
	make -s -C berkeley-testfloat-3/build/Linux-x86_64-GCC testfloat_gen
) >&2

mkdir -p "$dir"
cp "$work/src/berkeley-testfloat-3/build/Linux-x86_64-GCC/testfloat_gen" "$tool.$$"
mv "$tool.$$" "$tool"
echo "$tool"
