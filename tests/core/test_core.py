from napari_segtool.core.stack import Stack, corrected, cut
from napari_segtool.core.planes import map_planes
from napari_segtool import drain
import numpy as np
def test_smoke():
    s=Stack(np.zeros((3,4,5)),"QYX")
    assert corrected(s,spacing_um=(1,2,3)).axes=="ZYX"
    assert cut(s,1,3).slices==2
    assert drain(map_planes(s,lambda p:p>0)).shape==(3,4,5)
