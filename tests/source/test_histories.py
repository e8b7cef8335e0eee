"""Histories of a log file that were not right once, each as short as it still showed.

They were found by `test_file_changes`, which tells what is checked at the end of each.
"""

import pytest

from tests.source.model.node import Action, Setup
from tests.source.test_file_changes import BANNER, faults_of

PLAIN, CRI, BEGUN = Setup(main="plain"), Setup(main="cri"), Setup(banner=BANNER)

COPIES = {
    "agent starts between copy and truncation": (Setup(), "write copy settle"),
    "agent is killed between copy and truncation": (BEGUN, "kill copy rest:20"),
    "other lines, longer than before, at once": (Setup(), "write copy:8 rewrite:55"),
    "other lines, just as long, and rotations": (
        Setup(),
        "take_away write copy:947 catch_up rotate_often",
    ),
    "part, and a late line in the copy": (
        Setup(),
        "write copy:394 rotate_often write_part:188 stop:167 truncate write_late",
    ),
    "part in the copy, its end truncated": (
        Setup(),
        "rotate rotate write_part copy write_part rest rest:610 rotate_into_inode down:285",
    ),
    "gzipped before the truncation is noticed": (Setup(), "write_other copy:88 rotate_into_inode"),
    "gzipped, the original deleted": (PLAIN, "write copy:787 delete compress"),
    "truncated again, nothing read": (
        PLAIN,
        "copy:583 settle write_part rest:478 write rewrite catch_up down",
    ),
    "part and a half line": (BEGUN, "write_part:1 write_half catch_up copy"),
    "a younger file begins like the copy": (
        BEGUN,
        "fill write rest:983 copy settle rotate_often",
    ),
    "seen half, the original truncated and made anew": (
        Setup(appends=False),
        "write_other copy:196 recreate",
    ),
    "part, the original made anew": (BEGUN, "write_part copy:1 recreate:1"),
    "the original replaced at once": (PLAIN, "write settle copy replace"),
    "the directory away before": (PLAIN, "rotate_into_inode write vanish copy recreate"),
    "noticed late, the copy gzipped": (PLAIN, "write_part copy:980 rotate_into_inode compress"),
    "takes no position of an older file": (BEGUN, "settle settle stop rotate:910 write:1 copy:312"),
    "copy of a copy": (BEGUN, "write_part settle copy rotate copy vanish"),
    "part and a line of another format, gzipped": (
        Setup(),
        "write_part write_other catch_up copy compress",
    ),
    "rotated, the copy gzipped": (PLAIN, "write_other copy:2 rename write rotate_into_inode"),
    "of a file that was empty a moment ago": (Setup(), "write_late settle write_part copy"),
    "rotations after it": (BEGUN, "write:2 copy:1 rotate_often"),
    "replaced after it": (BEGUN, "write copy:302 replace:1"),
    "the original replaced, its writer goes on": (
        CRI,
        "write_part settle copy replace write_part rest rotate_into_inode",
    ),
    "found after the truncated one was opened anew": (
        BEGUN,
        "write_part:1 catch_up copy rewrite write:1 rotate:24",
    ),
    "the original stays empty": (PLAIN, "settle rename reopen write_part copy"),
    "younger files begin with all that was read": (
        BEGUN,
        "write_half copy fill down rotate_often",
    ),
    "stopped while the rotated file gets another name": (
        Setup(),
        "write_part rotate_into_inode rest:912 copy:1 stop",
    ),
    "found before the truncation of the original was noticed": (
        Setup(naming="dated", linked=True, banner=BANNER),
        (
            "copy:100 write_half:100 rotate:900 compress:771 write_half:100 settle:33 rewrite:277"
            " copy:114"
        ),
    ),
}
TRUNCATED = {
    "written again, deleted while held": (
        Setup(),
        "write rest:14 truncate write:636 delete rest:645 write",
    ),
    "while the agent is down, nothing since": (PLAIN, "write settle write kill truncate"),
    "line ends in the file after it": (
        Setup(linked=True),
        "write catch_up rewrite rename write_part",
    ),
    "hole in a file with two names": (Setup(appends=False), "link write_half truncate"),
    "hole before a banner": (Setup(appends=False, banner=BANNER), "truncate link write_other"),
    "hole, and rotations": (Setup(appends=False), "write truncate link rotate_often"),
    "rotations after it, gzipped": (BEGUN, "rest:39 rewrite rotate_often compress"),
    "buffer full, rotations after it": (BEGUN, "fill rewrite rotate_often"),
    "beside an empty gzip file": (Setup(), "rotate write catch_up write truncate"),
    "while the agent is down, a hole, a second name": (
        Setup(appends=False),
        "write settle write_part kill write_half:1 rewrite link",
    ),
    "part in it, killed before the gap is counted": (
        Setup(naming="inside", linked=True),
        (
            "write rest:14 kill write:344 write_part:609 settle:142 rest:197 write_other:796"
            " rewrite:227 copy:365 kill down:509 rotate:999"
        ),
    ),
    "hole like the one that was read, and copied while the agent is down": (
        Setup(naming="inside", appends=False, banner=BANNER),
        (
            "truncate:847 catch_up:1 write write_part:1 settle write:579 rewrite:349"
            " write_other:953 write down:1 write copy:10 catch_up up rest:1 rename replace:1 rest:1"
        ),
    ),
    "part in a new file after it": (
        Setup(appends=False, linked=True, banner=BANNER),
        "rename:14 rest:535 compress:29 rotate_often:411 rotate truncate write_part catch_up",
    ),
}
COMPRESSED = {
    "its plain file gone before the first look": (BEGUN, "write rotate compress"),
    "agent killed": (BEGUN, "rotate rotate_into_inode kill"),
    "its writer goes on": (PLAIN, "write rotate write_late rest:20"),
    "buffer full, its writer goes on": (PLAIN, "fill rename compress write"),
    "late line in it": (
        BEGUN,
        "rotate_often rotate_into_inode catch_up write_late compress:15 rotate rotate rename down",
    ),
    "late line, unread, behind what was seen of it": (
        BEGUN,
        "rotate_into_inode write_half rest:632 rotate:451 stop kill compress:124 rotate",
    ),
    "half a line, and stopped": (
        Setup(appends=False),
        "rewrite write_part rename settle write_half:1 rotate_into_inode stop",
    ),
    "empty, and the newest file deleted": (
        PLAIN,
        "write_part rotate_into_inode catch_up down write_late copy retain compress",
    ),
    "its file begins like the live one": (
        BEGUN,
        "rotate_into_inode recreate catch_up compress write copy:1",
    ),
    "begins with the end of a line, and its writer goes on": (
        Setup(),
        "write_half truncate rest:369 write rename compress write",
    ),
    "rotated once more": (
        Setup(main="cri", banner=BANNER),
        "write settle rotate rotate_into_inode",
    ),
    "half a line in it": (
        BEGUN,
        "write_half rotate_into_inode compress up rest:30 truncate:1 replace rotate",
    ),
    "half a line, gzipped twice": (BEGUN, "rest:34 write_half rotate rotate_into_inode"),
    "its plain file deleted before it is told from others": (
        Setup(main="cri", banner=BANNER),
        (
            "down rotate_often rotate_into_inode up catch_up write_late compress:15 rotate rotate"
            " rename write_part"
        ),
    ),
    "has the inode of a file that was deleted": (
        BEGUN,
        "catch_up rotate_into_inode fill rotate retain compress",
    ),
    "its plain file gone unnoticed while the buffer is full": (
        Setup(main="cri", naming="dated", appends=False),
        (
            "replace:281 rotate_into_inode kill:1 settle:19 fill:208 rename compress:1 reopen:1"
            " rest:1 write_half rest rest:1 write_late:1 write_part rest compress write_part rest"
            " settle:561 write_late rest:424 rest:1 compress:305 settle:1 retarget:581"
        ),
    ),
    "the live file replaced": (Setup(), "rotate write rest:195 down compress write replace"),
}
ROTATED = {
    "inode used again by a newer file": (
        Setup(),
        "write catch_up down rotate_often retain rotate",
    ),
    "older file with an equal head": (
        BEGUN,
        "rotate_often rename write_part rotate_into_inode rest:867 replace",
    ),
    "part, and a new file that begins alike": (BEGUN, "write_part rotate_into_inode rest:238"),
    "part, and reopened": (
        BEGUN,
        "rename write_part:737 reopen rest:21 take_away write:197 settle down write_part",
    ),
    "late line in an older file": (
        Setup(),
        "write_part settle rotate_into_inode write:57 settle write_late settle",
    ),
    "part in a file that is deleted after it was read": (
        BEGUN,
        "write_part rename write:1 reopen catch_up kill retain",
    ),
    "nothing in them but a banner": (BEGUN, "catch_up replace rotate_into_inode rename"),
    "nothing but a banner, and stopped": (BEGUN, "rotate:735 settle stop settle"),
    "twice between two looks": (BEGUN, "rest:190 rotate rename:1 write_part settle recreate"),
    "one that was held to be a copy, read late": (
        BEGUN,
        "rename compress reopen catch_up write_part:1 rename reopen write_part:1 compress catch_up",
    ),
    "part in one that is read late": (
        Setup(main="cri", naming="dated", appends=False, banner=BANNER),
        (
            "write_half:32 write_part copy rename write:12 write:1 write:464 truncate compress:169"
            " rotate_into_inode write copy:910 write_other:1 delete write_half:935 write:1"
            " rest:346 vanish rest compress:20"
        ),
    ),
    "a banner alone, beside the gzip file of a longer one": (
        BEGUN,
        "write_part rename catch_up rotate rotate_into_inode rewrite rest:934 truncate",
    ),
    "stopped with files unread between held ones": (
        BEGUN,
        "rotate_into_inode write_part:1 catch_up recreate:2 rotate_often:1 rotate_into_inode down",
    ),
    "a banner alone, and its writer goes on": (
        BEGUN,
        "vanish write_half recreate rotate_into_inode vanish:1 write_late",
    ),
    "deleted with an unfinished line, then rotated": (
        Setup(),
        "write write_part catch_up stop rotate retain rotate",
    ),
    "unfinished lines on both streams": (
        Setup(),
        "write_late replace write_other write_half write_part:1 settle write:1 write_part rotate",
    ),
    "part, read, the file copied": (
        Setup(),
        "write_part rest:450 rename:1 compress write_part:1 reopen copy:1 link",
    ),
}
NAMES = {
    "second name before the first": (Setup(), "write catch_up link"),
    "second name after the first": (Setup(), "write catch_up link:1"),
    "second name, found first after a kill": (BEGUN, "write_part catch_up link kill"),
    "second name, killed before": (Setup(), "write rest:793 kill link write_part"),
    "second name, a line of plain text": (PLAIN, "write_part catch_up link write_part kill"),
    "second name, copied": (BEGUN, "write link:487 rotate copy:914"),
    "second name, truncated": (BEGUN, "write link truncate write_half rotate_into_inode"),
    "second name comes and goes": (Setup(), "link write_part rotate_into_inode settle link"),
    "second name of a linked file, killed, deleted": (
        Setup(linked=True),
        "write_part settle link kill delete",
    ),
    "second name, the directory away": (
        Setup(),
        "link:1 write_part rotate rest:11 vanish:560 settle settle",
    ),
    "second name goes while the buffer is full": (
        Setup(linked=True),
        "settle write link:1 rotate fill link:1 rotate_into_inode",
    ),
    "second name takes over what was saved under the first": (
        Setup(main="plain", appends=False),
        "write:443 rest:300 stop link:772 rest:236 compress:801 stop write:276 reopen:1 compress",
    ),
    "second name known first, what begins alike waits for its key": (
        Setup(linked=True, banner=BANNER),
        "rest:448 link:754 down rotate write_other copy",
    ),
    "inode in another series": (
        Setup(linked=True, banner=BANNER),
        "retarget rest:12 rotate down retarget write",
    ),
    "directory away after a deletion": (
        BEGUN,
        "catch_up rename write rotate_into_inode vanish down",
    ),
}
HISTORIES = {
    f"{kind}: {name}": history
    for kind, histories in {
        "copied": COPIES,
        "truncated": TRUNCATED,
        "gzipped": COMPRESSED,
        "rotated": ROTATED,
        "names": NAMES,
    }.items()
    for name, history in histories.items()
}


def actions_of(text: str) -> list[Action]:
    """Read actions: their names, each with its argument behind a colon, if that is not 0."""
    pairs = (word.partition(":") for word in text.split())
    return [(name, int(argument or 0)) for name, _, argument in pairs]


@pytest.mark.parametrize("name", HISTORIES)
def test_what_was_wrong_once_is_right(name: str) -> None:
    """I1-I5, I9: each line comes once, or is accounted for, in histories in which it was not."""
    setup, text = HISTORIES[name]
    assert faults_of(setup, actions_of(text)) == []
