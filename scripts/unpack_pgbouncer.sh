#!/usr/bin/env bash
# Unpacks a PgBouncer that tracks prepared statements, with its own libraries, into a directory: that of Debian 12 is too old.
# The sources of packages are those of this machine, for the next release of Debian. Nothing else on the machine changes.
set -euo pipefail
directory=$1
suite=trixie

[ -x "$directory/pgbouncer" ] && exit
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

mkdir -p "$temporary"/{sources,lists/partial,cache/archives/partial,root} "$directory"
touch "$temporary/status" # nothing is installed, so libc and all others are downloaded too
. /etc/os-release
for file in $(grep --files-with-matches --recursive "debian" /etc/apt/sources.list /etc/apt/sources.list.d); do
  sed "s/\b$VERSION_CODENAME\b/$suite/g" "$file" >"$temporary/sources/$(basename "$file")"
done
options=(
  -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$temporary/sources"
  -o Dir::State::Lists="$temporary/lists" -o Dir::State::status="$temporary/status" -o Dir::Cache="$temporary/cache"
  -o APT::Sandbox::User= -o Debug::NoLocking=1
)
apt-get "${options[@]}" update
apt-get "${options[@]}" install --yes --no-install-recommends --download-only pgbouncer
for package in "$temporary"/cache/archives/{pgbouncer,lib}*.deb; do
  dpkg-deb --extract "$package" "$temporary/root"
done

# Only what it runs on: the program, the loader and the libraries.
cp "$temporary/root/usr/sbin/pgbouncer" "$directory/program"
find "$temporary/root" -regex '.*/lib/[^/]*-linux-gnu/[^/]*\.so[^/]*' -exec cp --no-dereference {} "$directory" \;
cat >"$directory/pgbouncer.partial" <<END
#!/bin/sh
here=\$(dirname "\$0")
exec "\$here"/ld-linux-*.so.* --library-path "\$here" "\$here/program" "\$@"
END
chmod -R a+rX "$directory"
chmod a+x "$directory/pgbouncer.partial"
"$directory/pgbouncer.partial" --version
mv "$directory/pgbouncer.partial" "$directory/pgbouncer"
