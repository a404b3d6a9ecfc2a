"""What is changed in SYNSPEC's source: an array that is too short, and searches that took most of its time.

Spectra stay the same to the last digit that SYNSPEC writes, in a third of the time or less where there is TiO.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import SynthesisError

__all__ = ["repaired"]

_REPAIRS = (  # routine, what it has, and what instead
    # 50 elements are written: unrepaired, every optimised build gives NaN.
    ("HYDLIN", "PJ(40)", "PJ(50)"),
    # The place in a table of a profile was looked for from its beginning, for each wavelength; now from the last one.
    (
        "HYDLIN",
        """
            DO IJ=I0,I1
               AL=ABS(WLAM(IJ)-WLINE(I,J))
""",
        """
            IW0=1
            DO IJ=I0,I1
               AL=ABS(WLAM(IJ)-WLINE(I,J))
""",
    ),
    (
        "HYDLIN",
        """
               DO IWL=1,NWL-1
                  IW0=IWL
                  IF(AL.LE.WLHYD(ILINE,IWL+1)) GO TO 40
               END DO
   40          IW1=IW0+1
""",
        """
   40          IF(IW0.GT.1.AND.AL.LE.WLHYD(ILINE,IW0)) THEN
                  IW0=IW0-1
                  GO TO 40
               END IF
   41          IF(IW0.LT.NWL-1.AND.AL.GT.WLHYD(ILINE,IW0+1)) THEN
                  IW0=IW0+1
                  GO TO 41
               END IF
               IW1=IW0+1
""",
    ),
    # An exponential that is not used.
    ("HYDLIN", "               sg0=EXP(PRFF*AL10)\n", ""),
    # Lines of molecules: 97 of 100 do not reach the wavelengths that are asked for.
    (
        "MOLOP",
        """
      DIMENSION ABLIN(MFREQ),EMLIN(MFREQ)
""",
        """
      DIMENSION ABLIN(MFREQ),EMLIN(MFREQ)
      INTEGER NEAR(MLINM)
""",
    ),
    (
        "MOLOP",
        """
      DO I=1,NLINML(ILIST)
""",
        """
      CALL RVNEAR(ID,AVAB,ILIST,NNEAR,NEAR)
      DO K=1,NNEAR
         I=NEAR(K)
""",
    ),
    (
        "MOLOP",
        """
            DO IJ=IJ1,IJ2
               XF=ABS(FREQ(IJ)-FR0)*DOP1
               ABLIN(IJ)=ABLIN(IJ)+AB0*VOIGTK(AGAM,XF)
            END DO
""",
        """
            CALL RVLINE(AGAM,AB0,FR0,DOP1,IJ1,IJ2,ABLIN)
""",
    ),
    # For each molecule its elements were looked for among all, and logarithms of their pressures taken.
    (
        "RUSSEL",
        "UIIDU2(100)  \n",
        "UIIDU2(100),PLOG(100)\n      INTEGER IFMET(100)\n",
    ),
    (
        "RUSSEL",
        """
        SPNION=0.0
""",
        """
        PLOG=LOG10(P)
        IFMET=0
        IFMET(NELEMX(1:NMETAL))=1
        SPNION=0.0
""",
    ),
    ("RUSSEL", "log10(P(NELEMJ))", "PLOG(NELEMJ)"),
    (
        "RUSSEL",
        """
              DO I=1,NMETAL
                 NELEMI=NELEMX(I)
                 IF(NELEMJ.EQ.NELEMI) THEN
                    FX(NELEMI)=FX(NELEMI)+ATOMJ*PMOLJ
                    DFX(NELEMI)=DFX(NELEMI)+ATOMJ**2*
     *                          PMOLJ/P(NELEMI)
                 END IF
              END DO
""",
        """
              IF(IFMET(NELEMJ).EQ.1) THEN
                 FX(NELEMJ)=FX(NELEMJ)+ATOMJ*PMOLJ
                 DFX(NELEMJ)=DFX(NELEMJ)+ATOMJ**2*PMOLJ/P(NELEMJ)
              END IF
""",
    ),
)
_END = "\n      END\n"


def repaired(source: str) -> str:
    """The source of SYNSPEC 54, repaired.

    Parameters
    ----------
    source : str
        ``synspec54.f`` of synspec 1.0.3.

    Raises
    ------
    SynthesisError
        Something is not there that is to be changed.
    """
    for routine, old, new in _REPAIRS:
        before, name, rest = source.partition(f"SUBROUTINE {routine}(")
        body, end, after = rest.partition(_END)
        if body.count(old) != 1:
            what = old.strip().splitlines()[0].strip() if old.strip() else old
            raise SynthesisError(f"SYNSPEC has no '{what}' in {routine}: it is not the release that is expected.")
        source = before + name + body.replace(old, new) + end + after
    return source + (Path(__file__).parent / "molecules.f").read_text()
