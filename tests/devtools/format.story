#!/usr/bin/env bash
# check-format looks at changed lines, and at nothing else: in a repository of its own.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=$PWD n=0 failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FORMAT_BASE GIT_DIR GIT_WORK_TREE
export GIT_CONFIG_GLOBAL=/dev/null GIT_{AUTHOR,COMMITTER}_NAME=t GIT_{AUTHOR,COMMITTER}_EMAIL=t@example.com
mkdir -p "$dir/tools/devtools" && cp "$here/tools/devtools/check-format" "$dir/tools/devtools/" && cp "$here/.clang-format" "$dir/"
cd "$dir" || exit 1
git init -q -b main .
result() { # STATUS WHAT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/# /' out
		failed=1
	fi
}
passes() { # WHAT
	tools/devtools/check-format >out 2>&1
	result $? "$1"
}
names() { # PLACE WHAT: it fails, and names this place alone
	if tools/devtools/check-format >out 2>&1; then
		result 1 "$2"
	else
		[ "$(sed -nE 's/^# ([^ ]*:[0-9]+): .*/\1/p' out)" = "$1" ]
		result $? "$2"
	fi
}
commit() { git add -A && git commit -qm "$1"; }

cat >old.c <<'C'
int  old_and_wrong( int a );
int fine(int a);
int fine(int a)
{
	return a;
}
C
commit first
passes "nothing has changed"
echo 'int more(void);' >>old.c
passes "a line that is well formatted, in a file that is not"
echo 'int  wrong( void );' >>old.c
names old.c:8 "a wrong line that is not committed"
commit wrong
passes "HEAD is the base where there is neither a tag nor an origin"
FORMAT_BASE=HEAD^ names old.c:8 "a wrong line since FORMAT_BASE"
git tag -a -m tag v0 HEAD^
names old.c:8 "a wrong line since the last tag"
git tag -a -m tag v1
names old.c:8 "the tag of HEAD itself is no base"
git mv old.c moved.c
commit move
passes "a file that moved has no changed lines"
echo 'int  wrong_again( void );' >new.c
names new.c:1 "a new file that git does not know yet"
tools/devtools/check-format --fix
grep -qx 'int wrong_again(void);' new.c && grep -qx 'int  old_and_wrong( int a );' moved.c
result $? "--fix formats it, and touches nothing else"
commit new
git update-ref refs/remotes/origin/main HEAD
echo 'int  wrong_on_branch( void );' >>new.c
commit branch
names new.c:2 "a wrong line since the branch left origin"
git rm -q moved.c new.c
passes "files that are gone"
FORMAT_BASE=nothing tools/devtools/check-format >out 2>&1
[ $? -eq 1 ] && grep -q 'no such commit' out
result $? "a base that does not exist is an error"
echo "1..$n"
exit $failed
