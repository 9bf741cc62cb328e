"""Files that a tree or a list has more than once, through links."""

from __future__ import annotations

import os
import os.path as osp
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Tuple

Identity = Tuple[int, int]  # device and inode
_NO_INODE = (0, 0xFFFFFFFF)  # where a file system (FUSE) has none to list


def identity_of(path: str) -> Identity:
    """Device and inode of a file or a folder; links are followed."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_same(path: str, other: str) -> bool:
    try:
        return osp.samefile(path, other)
    except OSError:  # removed meanwhile; reading it says so
        return False


@dataclass
class FilesOfTree:
    """What was found in a tree or a list, to see whether a file comes twice.

    Attributes:
        owners: Folders that were read.
        links: Images that are symbolic links.
        inodes: All other images, the first with each inode.
        twins: Pairs of images with one inode. They are one file, unless
            they are on different devices.
    """

    owners: Dict[Identity, str] = field(default_factory=dict)
    links: List[str] = field(default_factory=list)
    inodes: Dict[int, str] = field(default_factory=dict)
    twins: List[Tuple[str, str]] = field(default_factory=list)

    def add(self, image: os.DirEntry) -> None:
        """Add an image as its folder lists it."""
        if image.is_symlink():
            self.links.append(image.path)
            return
        # Not a stat() of the image, which may take longer than the listing.
        inode = image.inode()
        first = self.inodes.setdefault(inode, image.path)
        if first is not image.path and inode not in _NO_INODE:
            self.twins.append((image.path, first))

    def doubles(self) -> Iterator[Tuple[str, str]]:
        """Find images that come twice.

        Yields:
            The path of an image of which a symbolic or a hard link leads to
            another image of the tree, and what is wrong.
        """
        rule = 'an image must be in one class, once, but'
        for image, other in self.twins:
            if _is_same(image, other):
                yield (
                    image,
                    f'{rule} {image!r} and {other!r} are the same file '
                    '(linked): remove one of them',
                )
        earlier: Dict[object, str] = {}
        for link in self.links:
            image = osp.realpath(link)
            folder = osp.dirname(image)
            identity = identity_of(image) if osp.exists(image) else None
            other = earlier.setdefault(identity or image, link)
            first = self.inodes.get(identity[1], '') if identity else ''
            if osp.isdir(folder) and identity_of(folder) in self.owners:
                other = image
            elif first and _is_same(first, link):
                other = first
            if other != link:
                yield (
                    link,
                    f'{rule} {link!r} and {other!r} are the same file: remove '
                    'the link',
                )
